// A browser that looks at every page on the way: no error in its console, nothing against the content security policy, no request to
// another host, nothing that axe finds serious, nothing wider than the window.

import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";

const tools = createRequire(join(process.cwd(), "target/tools/node_modules/"));
const { chromium } = tools("playwright-core");
const AXE = readFileSync(tools.resolve("axe-core/axe.min.js"), "utf8");

const QUIET = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run", "--no-sandbox"];

export const problems = [];
/** What the browser may complain of: a story has made it happen. */
export const excused = [];

/** A browser of so wide a window, with light or dark colours. */
export async function launch({ origin, width, scheme, shots }) {
  const executablePath = process.env.PATH.split(delimiter).map((folder) => join(folder, "chromium")).find(existsSync);
  if (!executablePath) throw new Error("no chromium; .ci/install installs it");
  const browser = await chromium.launch({ executablePath, args: QUIET, headless: true });
  if (shots) mkdirSync(shots, { recursive: true });

  /** Somebody with cookies of their own. */
  async function person(name) {
    const context = await browser.newContext({
      viewport: { width, height: 800 },
      colorScheme: scheme,
      reducedMotion: "reduce",
      locale: "en-GB",
      timezoneId: "UTC",
      isMobile: width < 500,
      hasTouch: width < 500,
      permissions: ["clipboard-read", "clipboard-write"],
    });
    await context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
    });
    context.setDefaultTimeout(30_000);
    const page = await context.newPage();
    watch(context, page, name);
    return { name, context, page, look: (what) => look(page, `${name}-${what}`) };
  }

  function watch(context, page, name) {
    const tell = (what) => problems.push(`${name} at ${page.url()}: ${what}`);
    page.on("pageerror", (error) => tell(error.stack));
    page.on("console", (message) => {
      // The browser's own note of a page that says that something was refused is not an error of the page.
      const isStatus = /^Failed to load resource: the server responded with a status of 4\d\d/.test(message.text());
      if (excused.some((known) => known.test(message.text()))) return;
      if (["error", "warning"].includes(message.type()) && !(isStatus && new URL(message.location().url).origin === origin)) tell(message.text());
    });
    context.on("request", (request) => {
      const url = new URL(request.url());
      if (!["data:", "blob:"].includes(url.protocol) && url.origin !== origin) tell(`asks ${url}`);
    });
  }

  async function look(page, name) {
    await page.waitForLoadState("load");
    const tell = (what) => problems.push(`${name} (${width}, ${scheme}): ${what}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) tell(`${wide} pixels wider than the window`);
    await page.evaluate(AXE);
    const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
    for (const violation of found.violations.filter(({ impact }) => ["serious", "critical"].includes(impact))) {
      tell(`${violation.id}: ${violation.nodes.map((node) => `${node.target} ${node.failureSummary}`).join("; ")}`);
    }
    if (shots) await page.screenshot({ path: join(shots, `${name}-${width}-${scheme}.png`), fullPage: true });
  }

  return { person, close: () => browser.close() };
}
