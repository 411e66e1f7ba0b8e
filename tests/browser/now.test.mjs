// The first screen: what it says is what the command line says, and what it does is done.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { act, assertNoComplaints, Browser, commandIn, go, text } from "./browser.mjs";
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

const row = (name) => page.locator(`tr[data-name="${name}"]`);
const slowly = (name) => host.json("rebuild", name, "--rate-limit", "500", "--detach");

test("the one-time code is gone from the address, and is of no use a second time", async () => {
  assert.equal(await page.evaluate(() => location.hash.includes("code")), false);
  const url = await host.address();
  const first = await browser.open(host, { url });
  await first.waitForSelector("[data-light=live]");
  const second = await browser.open(host, { url });
  await second.waitForSelector(".signin");
  await second.waitForSelector("[role=alert]");
  await first.context().close();
  await second.context().close();
});

test("each projection is there with the state that the command line has", async () => {
  await go(page, "#/now");
  for (const progress of await host.json("list", "--all")) {
    const shown = await text(row(progress.projectionName));
    assert.match(shown, new RegExp(progress.status));
    assert.ok(shown.includes(progress.eventsProcessed.toLocaleString("en-US")), shown);
  }
  assertNoComplaints(page);
});

test("pause, resume and cancel are seen in the status", async () => {
  await slowly("order-summary");
  await row("order-summary").locator(".mark", { hasText: "running" }).waitFor();
  const paused = await act(page, "pause", { scope: 'tr[data-name="order-summary"]', confirm: false });
  assert.equal(await commandIn(paused), "unspool pause order-summary");
  await paused.locator("[data-confirm]").click();
  await host.statusIs("order-summary", "paused");
  await row("order-summary").locator(".mark", { hasText: "paused" }).waitFor();

  await act(page, "resume", { scope: 'tr[data-name="order-summary"]' });
  await host.statusIs("order-summary", "running");

  await go(page, "#/rebuild/order-summary");
  await act(page, "cancel", { typed: "order-summary" });
  await host.statusIs("order-summary", "cancelled");
  assertNoComplaints(page);
});

test("a destructive action waits until the name was typed", async () => {
  await slowly("process-map");
  await go(page, "#/rebuild/process-map");
  const dialog = await act(page, "cancel", { confirm: false });
  assert.equal(await dialog.locator("[data-confirm]").getAttribute("aria-disabled"), "true");
  await dialog.locator("[name=typed]").fill("order-summary");
  assert.equal(await dialog.locator("[data-confirm]").getAttribute("aria-disabled"), "true");
  await dialog.locator("[data-confirm]").click({ force: true });
  assert.equal((await host.status("process-map")).status, "running");
  await page.keyboard.press("Escape");
  await host.json("cancel", "process-map");
});

test("several are paused at once, and those that cannot be are named", async () => {
  await slowly("order-summary");
  await slowly("process-map");
  await go(page, "#/now");
  for (const name of ["order-summary", "process-map"]) await row(name).locator(".mark", { hasText: "running" }).waitFor();
  for (const name of ["order-summary", "process-map", "inventory-levels"]) await row(name).locator("input[type=checkbox]").check();
  await page.click("[data-bulk=pause]");
  assert.match(await text(page.locator("dialog")), /Not with inventory-levels/);
  await page.click("dialog [data-confirm]");
  await host.statusIs("order-summary", "paused");
  await host.statusIs("process-map", "paused");
  await page.locator("dialog .mark", { hasText: "done" }).nth(1).waitFor();
  await page.keyboard.press("Escape");
  await host.json("cancel", "order-summary");
  await host.json("cancel", "process-map");
});

test("filters stand in the address, and are there after a reload", async () => {
  await go(page, "#/now");
  await page.keyboard.press("/");
  await page.keyboard.type("process");
  await until("one row is left", async () => (await page.locator("tr[data-row]").count()) === 1);
  assert.match(await page.evaluate(() => location.hash), /q=process/);
  await page.reload();
  await page.waitForSelector("[data-light=live]");
  assert.equal(await page.locator("tr[data-row]").count(), 1);
  await page.locator("[data-need=failed]").click();
  await page.waitForSelector(".empty");
  assert.match(await page.evaluate(() => location.hash), /need=failed/);
});

test("keys move, pause, help and close", async () => {
  await slowly("inventory-levels");
  await go(page, "#/now");
  await row("inventory-levels").locator(".mark", { hasText: "running" }).waitFor();
  await page.keyboard.press("j");
  assert.equal(await page.evaluate(() => document.activeElement.dataset.name), "inventory-levels");
  await page.keyboard.press("j");
  assert.notEqual(await page.evaluate(() => document.activeElement.dataset.name), "inventory-levels");
  await page.keyboard.press("k");
  await page.keyboard.press("p");
  await page.waitForSelector("dialog [data-dialog=pause]");
  // Whatever is behind a dialog cannot be reached from it.
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press("Tab");
    assert.ok(await page.evaluate(() => document.activeElement === document.body || !!document.activeElement.closest("dialog")));
  }
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog", { state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement.dataset.name), "inventory-levels");
  await page.keyboard.press("?");
  await page.waitForSelector("dialog .keys");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#facts");
  assert.match(await page.evaluate(() => location.hash), /rebuild\/inventory-levels/);
  await host.json("cancel", "inventory-levels");
  assertNoComplaints(page);
});
