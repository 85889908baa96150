// What pages can do more when there is a script. Without it every form works all the same.

const texts = document.body.dataset;

/** A span of seconds in few letters. */
function span(seconds) {
  const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60];
  return minutes ? `${minutes}:${String(rest).padStart(2, "0")} min` : `${rest} s`;
}

/** Calls `tick` with the seconds that are left, now and every second, until there are none. */
function count(seconds, tick) {
  const end = performance.now() + seconds * 1000;
  const look = () => {
    const left = Math.max(0, Math.ceil((end - performance.now()) / 1000));
    tick(left);
    if (left > 0) setTimeout(look, Math.max(50, end - performance.now() - (left - 1) * 1000));
  };
  look();
}

function countdowns(root) {
  for (const line of root.querySelectorAll("[data-countdown]")) {
    // A reader would be told every second: the end is enough.
    line.setAttribute("aria-live", "off");
    count(Number(line.dataset.countdown), (left) => {
      if (left === 0) line.setAttribute("aria-live", "polite");
      line.textContent = left > 0 ? line.dataset.text.replace("{time}", span(left)) : line.dataset.over;
    });
  }
  for (const button of root.querySelectorAll("button[data-wait]")) {
    const text = button.textContent;
    count(Number(button.dataset.wait), (left) => {
      button.disabled = left > 0;
      button.textContent = left > 0 ? button.dataset.text.replace("{time}", span(left)) : text;
    });
  }
}

/** Times in the reader's own zone and words. */
function times(root) {
  const now = new Date();
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "medium" });
  const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
  const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const exact = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const relative = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });
  for (const time of root.querySelectorAll("time[datetime]")) {
    const date = new Date(time.dateTime);
    if (Number.isNaN(date.valueOf())) continue;
    const minutes = Math.round((date - now) / 60000);
    time.title = full.format(date);
    if ("exact" in time.dataset) time.textContent = exact.format(date);
    else if (Math.abs(minutes) < 60) time.textContent = relative.format(minutes, "minute");
    else if (Math.abs(minutes) < 24 * 60) time.textContent = relative.format(Math.round(minutes / 60), "hour");
    else time.textContent = `${day.format(date)}, ${hour.format(date)}`;
  }
}

/** What an element holds to be copied. */
function content(id) {
  const element = document.getElementById(id);
  if (element.dataset.copyText) return element.dataset.copyText;
  if ("copyLines" in element.dataset) return [...element.children].map((line) => line.textContent.trim()).join("\n");
  return element.value ?? element.textContent;
}

function copying(root) {
  for (const button of root.querySelectorAll("[data-copy]")) {
    // Browsers let pages write to the clipboard over TLS and on this machine only.
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = button.textContent;
      try {
        await navigator.clipboard.writeText(content(button.dataset.copy));
      } catch {
        // Whoever may not, copies it by hand.
        getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
        return;
      }
      button.textContent = texts.copied;
      setTimeout(() => { button.textContent = text; }, 2000);
    });
  }
  for (const button of root.querySelectorAll("[data-download]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const text = `${button.dataset.head}\n\n${content(button.dataset.download)}\n`;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
      link.download = button.dataset.file;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    });
  }
  for (const button of root.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => print());
  }
}

function peeking(root) {
  for (const input of root.querySelectorAll(".with-peek > input")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "peek";
    const label = root.querySelector(`label[for="${input.id}"]`)?.textContent ?? "";
    const show = (shown) => {
      input.type = shown ? "text" : "password";
      button.textContent = shown ? texts.hide : texts.show;
      button.setAttribute("aria-label", `${button.textContent}: ${label}`);
    };
    button.addEventListener("click", () => show(input.type === "password"));
    input.form.addEventListener("submit", () => show(false));
    show(false);
    input.after(button);
  }
}

/** Asks before what cannot be taken back. */
function confirming(root) {
  for (const form of root.querySelectorAll("form[data-confirm]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.confirmed) return;
      event.preventDefault();
      const dialog = document.createElement("dialog");
      dialog.setAttribute("aria-labelledby", "confirm-title");
      const title = Object.assign(document.createElement("h2"), { id: "confirm-title", textContent: form.dataset.confirmTitle });
      const text = Object.assign(document.createElement("p"), { textContent: form.dataset.confirm });
      const actions = Object.assign(document.createElement("p"), { className: "actions" });
      const cancel = Object.assign(document.createElement("button"), { type: "button", textContent: texts.cancel, autofocus: true });
      const go = Object.assign(document.createElement("button"), { type: "button", className: "primary danger", textContent: form.dataset.confirmTitle });
      cancel.addEventListener("click", () => dialog.close());
      go.addEventListener("click", () => {
        form.dataset.confirmed = "yes";
        dialog.close();
        form.requestSubmit();
      });
      dialog.addEventListener("close", () => dialog.remove());
      actions.append(cancel, go);
      dialog.append(title, text, actions);
      document.body.append(dialog);
      dialog.showModal();
    });
  }
}

/** A form whose refusal is told without leaving what the page shows, which is shown once. */
function swapping(root) {
  for (const form of root.querySelectorAll("form[data-swap]")) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = form.querySelector("button.primary");
      const place = form.querySelector("[data-alert]");
      const tell = (alert) => {
        place.replaceChildren(alert);
        enhance(place);
      };
      button.disabled = true;
      let page = null;
      try {
        const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
        if (answer.redirected) {
          location.assign(answer.url);
          return;
        }
        page = new DOMParser().parseFromString(await answer.text(), "text/html");
      } catch {
        // It may have arrived all the same, so it is not sent again: what it would have shown is shown once.
      } finally {
        button.disabled = false;
      }
      const main = page?.querySelector("main");
      const alert = page?.querySelector("form[data-swap] .alert");
      if (!main) tell(unanswered(form.dataset.lost));
      else if (alert) {
        tell(alert);
        form.querySelector("input.code").select();
      } else {
        document.title = page.title;
        document.body.className = page.body.className;
        document.querySelector("header.top").replaceWith(page.querySelector("header.top"));
        document.querySelector("main").replaceWith(main);
        scrollTo(0, 0);
        enhance(main);
      }
    });
  }
}

/** Says that no page of ours has come. */
function unanswered(text) {
  const alert = Object.assign(document.createElement("div"), { className: "alert error", tabIndex: -1 });
  alert.setAttribute("role", "alert");
  alert.dataset.focus = "";
  alert.append(Object.assign(document.createElement("p"), { textContent: text }));
  return alert;
}

/** A form is sent once, however often its button is pressed. */
function once(root) {
  for (const form of root.querySelectorAll("form[method=post]:not([data-swap])")) {
    form.addEventListener("submit", (event) => {
      if (event.defaultPrevented) return;
      if (form.dataset.sent) {
        event.preventDefault();
        return;
      }
      form.dataset.sent = "yes";
      // Whoever has stopped it on the way may send it once more.
      setTimeout(() => { delete form.dataset.sent; }, 5000);
    });
  }
}

function enhance(root) {
  countdowns(root);
  times(root);
  copying(root);
  peeking(root);
  confirming(root);
  swapping(root);
  once(root);
  root.querySelector("[data-focus]")?.focus();
}

/** A one-time token comes behind the address, where no server is told of it; and does not stay there. */
function takeToken() {
  const field = document.querySelector("[data-from-fragment]");
  if (!field || location.hash.length < 2) return;
  field.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  document.getElementById("new_password")?.focus();
}

/** Where this browser is, whatever proxies have made of it on the way to the server. */
function ownLinks() {
  for (const field of document.querySelectorAll("[data-own-link]")) {
    const link = new URL(field.value);
    field.value = `${location.origin}${link.pathname}${link.hash}`;
  }
}

// A page that the browser has kept may be of a session that is over, and its buttons are not pressed any more.
addEventListener("pageshow", (event) => {
  if (event.persisted) for (const form of document.forms) delete form.dataset.sent;
});

enhance(document);
for (const place of document.querySelectorAll("nav [aria-current]")) place.parentElement.scrollLeft = place.offsetLeft - 40;
takeToken();
ownLinks();
