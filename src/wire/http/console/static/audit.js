// The live end of the audit log: new records come in above. The browser itself goes on where it was when it is cut off.

const MOST = 200;
const box = document.querySelector("[data-live]");

function follow() {
  const [button, state] = [box.querySelector("button"), box.querySelector(".live-state")];
  const body = document.getElementById("records");
  const { on, off, again, lost, fresh } = box.dataset;
  let source = null;
  let count = 0;
  let address = box.dataset.live;

  const stop = (text) => {
    source?.close();
    source = null;
    button.setAttribute("aria-pressed", "false");
    state.textContent = text;
  };

  const start = () => {
    source = new EventSource(address);
    button.setAttribute("aria-pressed", "true");
    source.addEventListener("open", () => { state.textContent = on; });
    // After an answer that is no stream the browser does not come again.
    source.addEventListener("error", () => {
      if (source?.readyState === EventSource.CLOSED) stop(lost);
      else state.textContent = again;
    });
    source.addEventListener("message", (event) => {
      // Lines of our own server, with everything in them escaped.
      const parsed = new DOMParser().parseFromString(`<table><tbody>${event.data}</tbody></table>`, "text/html");
      const row = parsed.querySelector("tr");
      if (!row || body.querySelector(`tr[data-position="${CSS.escape(row.dataset.position)}"]`)) return;
      for (const time of row.querySelectorAll("time")) {
        const format = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
        time.textContent = new Intl.DateTimeFormat(undefined, format).format(new Date(time.dateTime));
      }
      row.classList.add("fresh");
      body.prepend(row);
      // Readers are told how many there are, and not each of them.
      count += 1;
      state.textContent = fresh.replace("{count}", count);
      document.querySelector("[data-empty]")?.remove();
      while (body.children.length > MOST) body.lastElementChild.remove();
      // Whoever stops and goes on misses nothing.
      const next = new URL(address, location);
      next.searchParams.set("after", event.lastEventId);
      address = next.pathname + next.search;
    });
    source.addEventListener("ended", (event) => stop(event.data));
    source.addEventListener("busy", (event) => stop(event.data));
  };

  box.hidden = false;
  button.addEventListener("click", () => (source ? stop(off) : start()));
  addEventListener("pagehide", () => stop(off));
}

if (box) follow();
