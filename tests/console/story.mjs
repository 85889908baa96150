// The console's story in a real browser, against a running `serve --dev`:
//
//   node tests/console/story.mjs ORIGIN LOG USER_PASSWORD ADMIN_PASSWORD WIDTH SCHEME [SHOTS]
//
// LOG is what the service prints, which text messages go to. SCHEME is light or dark. Pictures of every page go to SHOTS, where it is given.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

import { excused, launch, problems } from "./browser.mjs";

const [origin, log, userPassword, adminPassword, width, scheme, shots] = process.argv.slice(2);
const NEW_PASSWORD = "seven quiet boats at dawn";
const MARKUP = '<img src=x onerror="alert(1)">';

/** The code of an app, so many steps from now: a code works once, and each is of a later step than the one before. */
const code = (secret, steps) => execFileSync("oathtool", ["--totp", "--base32", "--now", `now + ${steps * 30} seconds`, secret], { encoding: "utf8" }).trim();

/** Asks until there is an answer. */
async function until(what, ask) {
  for (let left = 1200; left > 0; left -= 1) {
    const answer = await ask();
    if (answer) return answer;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`there is still no ${what}`);
}

const messages = () => [...readFileSync(log, "utf8").matchAll(/Text message to [^\n]*:\n((?: {2}\|[^\n]*\n)+)/g)].map(([, text]) => text);
/** The code of the next text message after so many. */
const texted = async (count) => (await until("text message", () => messages()[count])).match(/\b(\d{6})\b/)[1];

/** The secret of the QR code on the screen, as a camera reads it. */
async function scan(page) {
  const picture = await page.locator(".qr img").screenshot();
  const uri = execFileSync("zbarimg", ["--quiet", "--raw", "-"], { input: picture, encoding: "utf8", stdio: ["pipe", "pipe", "ignore"] }).trim();
  assert.match(uri, /^otpauth:\/\/totp\//);
  const secret = new URL(uri).searchParams.get("secret");
  await page.getByText("Cannot scan it?").click();
  assert.equal((await page.locator("#secret").textContent()).replaceAll(" ", ""), secret);
  return secret;
}

/** The code of the step before is good until this step ends: not in its last seconds. */
const early = () => until("step with time left", () => Math.floor(Date.now() / 1000) % 30 < 22);

async function signIn(page, email, password) {
  await page.goto(`${origin}/console/sign-in`);
  await page.getByRole("textbox", { name: "E-mail", exact: true }).fill(email);
  await page.getByRole("textbox", { name: "Password", exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** The same with the keyboard alone. */
async function signInByKeyboard(page, email, password) {
  await page.goto(`${origin}/console/sign-in`);
  await page.locator("#email:focus").waitFor();
  await page.keyboard.type(email);
  await page.keyboard.press("Tab");
  await page.keyboard.type(password);
  await page.keyboard.press("Enter");
}

const click = (page, name) => page.getByRole("button", { name, exact: true }).click();
const follow = (page, name) => page.getByRole("link", { name, exact: true }).click();
const heading = (page, name) => page.getByRole("heading", { name, exact: true }).first().waitFor();
const said = (page, text) => page.locator(".alert", { hasText: text }).first().waitFor();

async function saveCodes({ page, look }) {
  await heading(page, "Save your backup codes");
  const codes = await page.locator(".codes code").allTextContents();
  assert.equal(codes.length, 10);
  await look("codes");
  await page.getByRole("button", { name: "Copy" }).click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(copied, codes.join("\n"));
  const [download] = await Promise.all([page.waitForEvent("download"), click(page, "Download")]);
  assert.ok(readFileSync(await download.path(), "utf8").includes(codes[9]));
  await page.getByLabel("I have saved these codes").check();
  await click(page, "Continue");
  await said(page, "Your backup codes are ready.");
  return codes;
}

/** An administrator must enrol before there is a session. */
async function administrator(admin) {
  const { page, look } = admin;
  await signIn(page, "admin@example.com", adminPassword);
  await heading(page, "Set up a second factor");
  await look("enrol");
  await page.getByRole("link", { name: /Authenticator app/ }).click();
  await click(page, "Continue");
  const secret = await scan(page);
  await early();
  await page.getByRole("textbox", { name: "Code that the app shows", exact: true }).fill(code(secret, -1));
  await click(page, "Confirm");
  await saveCodes(admin);
  return secret;
}

/** An answer that does not come, or is none of ours: what was sent is not sent again, and the QR code stays. */
async function isNotAnswered(page) {
  const confirm = /\/factors\/app\/confirm/;
  excused.push(/net::ERR_FAILED/);
  for (const answer of [(route) => route.abort(), (route) => route.fulfill({ contentType: "text/plain", body: "gone" })]) {
    let sent = 0;
    await page.route(confirm, (route) => { sent += 1; return answer(route); });
    await click(page, "Confirm");
    await said(page, "No answer has come.");
    assert.equal(sent, 1);
    assert.ok(await page.locator(".qr img").isVisible(), "the QR code stays");
    await page.unroute(confirm);
    await page.locator(".alert").evaluate((alert) => alert.remove());
  }
  excused.pop();
}

/** A form whose sending was stopped is good again after a while. */
async function stopsAndSendsAgain({ page }) {
  await page.goto(`${origin}/console/sign-in`);
  await page.getByRole("textbox", { name: "E-mail", exact: true }).fill("nobody@example.com");
  await page.getByRole("textbox", { name: "Password", exact: true }).fill("not the password");
  let held = null;
  await page.route(/\/console\/sign-in/, (route) => { held = route; });
  await page.getByRole("button", { name: "Sign in" }).click({ noWaitAfter: true });
  await until("form on its way", () => held);
  await held.abort("aborted");
  await until("form that is good again", () => page.evaluate(() => !document.forms[0].dataset.sent));
  await page.unroute(/\/console\/sign-in/);
  await page.getByRole("button", { name: "Sign in" }).click();
  await said(page, "E-mail or password is wrong.");
}

/** A user enrols an app, with a name that is none, and a phone. */
async function user(person) {
  const { page, look } = person;
  await page.goto(`${origin}/console/sessions`);
  await look("sign-in");
  await signIn(page, "user@example.com", "not the password");
  await said(page, "E-mail or password is wrong.");
  await look("sign-in-refused");
  await signIn(page, "user@example.com", userPassword);
  await heading(page, "Two-factor authentication is off");
  await look("overview-off");
  await follow(page, "Set up now");
  await page.getByRole("textbox", { name: /^Name/ }).fill(MARKUP);
  await look("app");
  await click(page, "Continue");
  await heading(page, "Scan this code");
  await look("scan");
  const secret = await scan(page);
  await page.getByRole("textbox", { name: "Code that the app shows", exact: true }).fill(code(secret, 2000));
  await click(page, "Confirm");
  await said(page, "That code is not valid.");
  assert.ok(await page.locator(".qr img").isVisible(), "the QR code stays");
  await isNotAnswered(page);
  await early();
  await page.getByRole("textbox", { name: "Code that the app shows", exact: true }).fill(code(secret, -1));
  await click(page, "Confirm");
  const codes = await saveCodes(person);
  await page.locator(".row-text strong", { hasText: MARKUP }).waitFor();

  await follow(page, "Add a phone");
  await page.getByRole("textbox", { name: "Phone number", exact: true }).fill("+30 691 234 5678");
  await look("phone");
  const before = messages().length;
  await click(page, "Send the code");
  await page.getByRole("textbox", { name: "Code", exact: true }).fill(await texted(before));
  await look("phone-code");
  await click(page, "Confirm");
  await said(page, "The second factor is added.");
  await look("overview-on");
  return { secret, codes };
}

/** The user signs in with another method, and looks at the other pages. */
async function signsInByPhone({ page, look }) {
  await click(page, "Sign out");
  await said(page, "You are signed out.");
  await signIn(page, "user@example.com", userPassword);
  await heading(page, "Two-factor authentication");
  await look("code-app");
  const before = messages().length;
  await click(page, "Send a code by text message");
  await page.getByText("+**********78").waitFor();
  assert.ok(await page.getByRole("button", { name: /Send another code/ }).isDisabled(), "another one has to wait");
  await look("code-phone");
  await page.getByRole("textbox", { name: "Code", exact: true }).fill(await texted(before));
  await click(page, "Continue");
  await heading(page, "Two-factor authentication is on");
  for (const [link, name] of [["Sessions", "sessions"], ["Activity", "activity"], ["Password", "password"]]) {
    await page.getByRole("navigation").getByRole("link", { name: link, exact: true }).click();
    await heading(page, link === "Password" ? "Change your password" : link);
    await look(name);
  }
  await page.getByRole("textbox", { name: "Current password", exact: true }).fill(userPassword);
  await page.getByRole("textbox", { name: "New password", exact: true }).fill(NEW_PASSWORD);
  await click(page, "Change password");
  await said(page, "Your password is changed.");
}

/** Switches two-factor authentication with the preview before it. */
async function switches({ page, look }, isOn) {
  await page.goto(`${origin}/console/admin`);
  await heading(page, "Settings");
  if (!isOn) await look("settings");
  const box = page.getByRole("switch", { name: "Enable Two-Factor Authentication" });
  assert.equal(await box.isChecked(), !isOn);
  await box.setChecked(isOn);
  await click(page, "Preview the change");
  await heading(page, "Preview of the change");
  await page.locator("ins", { hasText: isOn ? "On" : "Off" }).waitFor();
  assert.equal(await page.locator(".group .figure").first().textContent(), "1", "the user signs in another way");
  if (!isOn) await look("preview");
  await click(page, "Save the change");
  await said(page, "The settings are saved.");
}

/** With a password alone, and a step-up for what wants more: what was asked for goes on by itself. */
async function stepsUp(person, secret) {
  const { page, look } = person;
  await click(page, "Sign out");
  await signIn(page, "user@example.com", NEW_PASSWORD);
  await heading(page, "Two-factor authentication is on");
  await page.getByRole("link", { name: "Manage Backup codes" }).click();
  await heading(page, "Backup codes");
  await look("backup-codes");
  await click(page, "Make new codes");
  await page.getByRole("dialog").getByRole("button", { name: "Make new codes" }).click();
  await heading(page, "Confirm that it is you");
  await look("step-up");
  await page.getByRole("textbox", { name: "Code", exact: true }).fill("000 000");
  await click(page, "Continue");
  await said(page, "That code is not valid.");
  // As apps show it, and as it is pasted.
  await page.getByRole("textbox", { name: "Code", exact: true }).fill(code(secret, 0).replace(/^(...)/, "$1 "));
  await click(page, "Continue");
  await saveCodes(person);
}

/** What is no stream ends the following, which says so and goes on when it is asked to. */
async function isCutOff({ page }) {
  const live = /\/audit\/live/;
  await page.route(live, (route) => route.fulfill({ status: 403, contentType: "text/plain", body: "no" }));
  await page.getByRole("button", { name: "Live" }).click();
  await page.getByText("Cut off. Press Live to go on.").waitFor();
  assert.equal(await page.getByRole("button", { name: "Live" }).getAttribute("aria-pressed"), "false");
  await page.unroute(live);
}

/** Every other page of the administrator. */
async function looksAround({ page, look }) {
  for (const [path, name, title] of [
    ["settings/versions", "versions", "Versions of the settings"],
    ["users", "users", "Users"],
    ["users/new", "new-user", "New user"],
    ["adoption", "adoption", "Adoption"],
    ["sms", "sms", "Text messages"],
    ["keys", "keys", "Keys"],
    ["audit", "audit", "Audit log"],
  ]) {
    await page.goto(`${origin}/console/admin/${path}`);
    await heading(page, title);
    await look(name);
  }
}

/** Makes an account, whose owner sets the password by the link. */
async function invites({ page, look }, guest) {
  await page.goto(`${origin}/console/admin/users/new`);
  await page.getByRole("textbox", { name: "E-mail", exact: true }).fill("new@example.com");
  await click(page, "Create the account");
  const link = await page.getByLabel("One-time link").inputValue();
  await look("token");
  await guest.page.goto(link);
  await heading(guest.page, "Set a new password");
  await until("address without the token", () => !guest.page.url().includes("pwt_"));
  await guest.page.getByRole("textbox", { name: "New password", exact: true }).fill(NEW_PASSWORD);
  await guest.look("set-password");
  await click(guest.page, "Set password");
  await said(guest.page, "Your password is set.");
  await signInByKeyboard(guest.page, "new@example.com", NEW_PASSWORD);
  await heading(guest.page, "Two-factor authentication is off");
  await guest.page.goto(`${origin}/console/admin`);
  await heading(guest.page, "That did not work");
  await guest.look("not-for-users");
}

/** Takes the user's factors away, and says why; the user's session is over. */
async function resets({ page, look }, person) {
  await page.goto(`${origin}/console/admin/users?search=user%40`);
  await follow(page, "user@example.com");
  await heading(page, "user@example.com");
  await page.getByText("Reset two-factor authentication").first().click();
  await page.locator("#reason-reset").fill(`lost the phone; showed a passport ${MARKUP}`);
  await look("user");
  await click(page, "Reset two-factor authentication");
  await said(page, "Two-factor authentication is reset.");
  await page.getByText("This account has none.").waitFor();
  await person.page.goto(`${origin}/console`);
  await said(person.page, "Your session has ended.");
  await signIn(person.page, "user@example.com", NEW_PASSWORD);
  await heading(person.page, "Two-factor authentication is off");
}

const { person, close } = await launch({ origin, width: Number(width), scheme, shots });
try {
  const [admin, own, guest] = [await person("admin"), await person("user"), await person("guest")];
  await administrator(admin);
  const { secret } = await user(own);
  await signsInByPhone(own);

  const live = { ...admin, page: await admin.context.newPage() };
  await live.page.goto(`${origin}/console/admin/audit`);
  await isCutOff(live);
  await live.page.getByRole("button", { name: "Live" }).click();
  await live.page.getByText("Following").waitFor();

  await switches(admin, false);
  await stepsUp(own, secret);
  await switches(admin, true);
  for (const text of ["Settings changed", "Identity confirmed again"]) {
    await live.page.locator("tr.fresh", { hasText: text }).first().waitFor();
  }
  await looksAround(admin);
  await stopsAndSendsAgain(guest);
  await invites(admin, guest);
  await resets(admin, own);
  const row = live.page.locator("tr.fresh", { hasText: "Two-factor authentication reset" }).first();
  await row.waitFor();
  assert.ok((await row.textContent()).includes(MARKUP), "markup is text");

  // It ends with the session.
  await admin.page.goto(`${origin}/console`);
  await click(admin.page, "Sign out");
  await live.page.getByText("Your session has ended. Sign in again.").waitFor();
} catch (fault) {
  problems.push(fault.stack);
} finally {
  await close();
}
for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;
