// What the page says when the host is away, when somebody else was faster, and when somebody may not.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { act, assertNoComplaints, Browser, go, text } from "./browser.mjs";
import { Host, until } from "./host.mjs";

let host, browser, page;
before(async () => {
  [host, browser] = await Promise.all([Host.start(), Browser.start()]);
  page = await browser.open(host);
});
after(async () => {
  await browser?.end();
  await host?.remove();
});

test("a killed host turns the page grey; it recovers by itself when the host is back", async () => {
  await host.json("rebuild", "order-summary", "--rate-limit", "300", "--detach");
  await go(page, "#/rebuild/order-summary");
  await page.locator(".head .mark", { hasText: "running" }).waitFor();
  await host.end("SIGKILL");
  await page.waitForSelector("[data-light=lost]");
  assert.match(await text(page.locator("[data-light]")), /as of \d\d:\d\d:\d\d/);
  assert.equal(await page.locator("main.stale").count(), 1);
  // Nothing can be done with what may not be so any more.
  assert.equal(await page.locator('aside [data-action="pause"]').getAttribute("aria-disabled"), "true");
  await host.serve();
  await page.waitForSelector("[data-light=live]");
  assert.equal(await page.locator("main.stale").count(), 0);
  // The next host goes on with it, and the page follows.
  await host.statusIs("order-summary", "running");
  await page.locator(".head .mark", { hasText: "running" }).waitFor();
  await host.json("cancel", "order-summary");
  await page.locator(".head .mark", { hasText: "cancelled" }).waitFor();
});

test("who was slower is told who was faster, and nothing is done", async () => {
  await host.json("rebuild", "process-map", "--rate-limit", "300", "--detach");
  await go(page, "#/rebuild/process-map");
  const dialog = await act(page, "cancel", { typed: "process-map", confirm: false });
  await host.json("pause", "process-map");
  await dialog.locator("[data-confirm]").click();
  await dialog.locator(".note.warn", { hasText: "changed this" }).waitFor();
  assert.equal((await host.status("process-map")).status, "paused");
  await until("the dialog has the new state", async () => (await text(dialog)).includes("paused now"));
  await dialog.locator("[data-confirm]").click();
  await host.statusIs("process-map", "cancelled");
});

test("two pages see the same at once", async () => {
  const other = await browser.open(host);
  await host.json("rebuild", "inventory-levels", "--rate-limit", "300", "--detach");
  for (const one of [page, other]) {
    await go(one, "#/now");
    await one.locator('tr[data-name="inventory-levels"] .mark', { hasText: "running" }).waitFor();
  }
  await act(other, "pause", { scope: 'tr[data-name="inventory-levels"]' });
  await page.locator('tr[data-name="inventory-levels"] .mark', { hasText: "paused" }).waitFor();
  await host.json("cancel", "inventory-levels");
  await other.context().close();
});

test("without a session there is the sign-in, and a code that is pasted opens it", async () => {
  const stranger = await browser.open(host, { url: host.url });
  await stranger.waitForSelector(".signin");
  await stranger.locator("[name=secret]").fill("no such code");
  await stranger.keyboard.press("Enter");
  await stranger.waitForSelector("[role=alert]");
  await stranger.locator("[name=secret]").fill(await host.address());
  await stranger.keyboard.press("Enter");
  await stranger.waitForSelector("[data-light=live]");
  assertNoComplaints(stranger);
  await stranger.context().close();
});

test("an address with a code that is pasted into an open page opens it, too", async () => {
  const stranger = await browser.open(host, { url: host.url });
  await stranger.waitForSelector(".signin");
  await stranger.goto(await host.address());
  await stranger.waitForSelector("[data-light=live]");
  assert.equal(await stranger.evaluate(() => location.hash.includes("code")), false);
  await stranger.context().close();
});

test("a viewer sees, and is told why nothing else", async () => {
  const { stdout } = await host.command("--json", "token", "add", "screen", "--role", "viewer");
  const { token } = JSON.parse(stdout);
  const viewer = await browser.open(host, { url: host.url });
  await viewer.waitForSelector(".signin");
  await viewer.locator(".segments label", { hasText: "Token" }).click();
  await viewer.locator("[name=secret]").fill(token);
  await viewer.keyboard.press("Enter");
  await viewer.waitForSelector("[data-light=live]");
  assert.match(await text(viewer.locator(".role")), /viewer/);
  await go(viewer, "#/rebuild/order-summary");
  const buttons = viewer.locator("aside [data-action]");
  assert.ok((await buttons.count()) > 5);
  for (const button of await buttons.all()) assert.equal(await button.getAttribute("aria-disabled"), "true");
  assert.match(await text(viewer.locator("aside .actions")), /operator/);
  assertNoComplaints(viewer);
  await viewer.context().close();
});

test("the page keeps to its content security policy, and loads nothing from elsewhere", async () => {
  const asked = [];
  const fresh = await browser.open(host, { url: "about:blank" });
  fresh.on("request", (request) => asked.push(request.url()));
  const answer = await fresh.goto(await host.address());
  await fresh.waitForSelector("[data-light=live]");
  const policy = answer.headers()["content-security-policy"];
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]) assert.ok(policy.includes(part), policy);
  for (const hash of ["#/now", "#/rebuild/order-summary", "#/models/order-summary", "#/dead-letters/order-summary", "#/activity", "#/activity?tab=host"]) await go(fresh, hash);
  assert.deepEqual(asked.filter((url) => !url.startsWith(host.url) && !url.startsWith("data:")), []);
  assertNoComplaints(fresh);
  await fresh.context().close();
});
