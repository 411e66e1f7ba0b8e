// Events that were set aside: grouped, in order, and retried or discarded as the page says beforehand.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { act, assertNoComplaints, Browser, commandIn, go, text } from "./browser.mjs";
import { FIXED, Host, until } from "./host.mjs";

let host, browser, page;
before(async () => {
  [host, browser] = await Promise.all([Host.start(), Browser.start()]);
  await host.importBadEvents();
  await host.installFaulty();
  await host.json("rebuild", "faulty", "--on-error", "park", "--allow-parked");
  page = await browser.open(host);
});
after(async () => {
  await browser?.end();
  await host?.remove();
});

const parked = async () => (await host.status("faulty")).parked;

test("they are counted on the first screen, and grouped by cause", async () => {
  await go(page, "#/now");
  await page.locator('tr[data-name="faulty"] a', { hasText: String(await parked()) }).click();
  await page.locator(".group").first().waitFor();
  assert.equal(await page.locator(".group").count(), 2);
  assert.match(await text(page.locator("main")), /no edit-and-replay/i);
  assertNoComplaints(page);
});

test("a stream has them in order, with what waits behind, and payloads to the digit", async () => {
  const group = page.locator(".group", { hasText: "asked to panic" });
  if ((await group.locator(".streams").count()) === 0) await group.locator("h2 button").click();
  const stream = group.locator(".streams > li", { hasText: "Stream a" });
  await stream.waitFor();
  const letters = await stream.locator(".letters > li").allInnerTexts();
  assert.deepEqual(letters.map((letter) => /\be\d\b/.exec(letter)[0]), ["e3", "e4"]);
  assert.match(letters[1], /waits/);
  await stream.locator(".letter").first().click();
  await stream.locator("pre.document").first().waitFor();
  assert.ok((await stream.locator("pre.document").first().textContent()).includes("12345678901234567890"));
});

test("a retry says what it is about, and tells how it ended", async () => {
  const before = await parked();
  const dialog = await act(page, "dead-letters-retry", { confirm: false });
  await dialog.locator(".plan .facts").waitFor();
  const plan = await text(dialog.locator(".plan"));
  assert.ok(plan.includes(`Events ${before}`) && plan.includes("Streams 3"), plan);
  assert.equal(await commandIn(dialog), "unspool dead-letters retry faulty");
  await dialog.locator("[data-confirm]").click();
  await dialog.locator(".note.warn").waitFor();
  assert.match(await text(dialog), /0 events handled/);
  await page.keyboard.press("Escape");
  assert.equal(await parked(), before);
});

test("a stream is discarded with a reason and the name only, and the reason is on record", async () => {
  const before = await parked();
  await go(page, "#/dead-letters/faulty");
  const group = page.locator(".group", { hasText: "cannot be handled" });
  if ((await group.locator(".streams").count()) === 0) await group.locator("h2 button").click();
  await group.locator('.streams [data-action="dead-letters-discard"]').first().click();
  const dialog = page.locator("dialog");
  assert.equal(await commandIn(dialog), "unspool dead-letters discard faulty --stream c");
  await dialog.locator("[name=typed]").fill("faulty");
  assert.equal(await dialog.locator("[data-confirm]").getAttribute("aria-disabled"), "true");
  await dialog.locator("[name=reason]").fill("test data of the 31st");
  await dialog.locator("[data-confirm]").click();
  await until("two fewer are parked", async () => (await parked()) === before - 2);
  await page.keyboard.press("Escape");
  await go(page, "#/activity?projection=faulty");
  await page.locator("tr[data-row]", { hasText: "test data of the 31st" }).waitFor();
});

test("after a swap a retry handles all of them", async () => {
  await host.json("plugin", "swap", "faulty", FIXED());
  // A dialog that was opened before the page has heard of the whole swap would be refused, and rightly: it reads anew.
  await page.reload();
  await page.waitForSelector("[data-light=live]");
  await go(page, "#/dead-letters/faulty");
  const dialog = await act(page, "dead-letters-retry");
  await dialog.locator(".note.good").waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await parked(), 0);
  await page.locator(".empty", { hasText: "No dead letter" }).waitFor();
  assertNoComplaints(page);
});
