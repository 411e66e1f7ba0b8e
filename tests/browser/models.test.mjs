// Read models: generations, rows, differences, receipts; and what readers get.
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

const live = async (name) => (await host.status(name)).liveGeneration;

test("generations stand side by side with their rows and digests", async () => {
  await host.json("rebuild", "order-summary", "--no-promote");
  await go(page, "#/models/order-summary");
  await page.locator(".generations th", { hasText: "Generation 2" }).waitFor();
  const digest = (await host.json("model", "digest", "order-summary"))[0];
  await until("the digests are read", async () => (await text(page.locator(".generations"))).includes(digest.digest.slice(0, 12)));
  const shown = await text(page.locator(".generations"));
  assert.ok(shown.includes(digest.rows.toLocaleString("en-US")), shown);
  assert.ok(shown.includes("the same rows as live"), shown);
  assertNoComplaints(page);
});

test("rows are found by the beginning of their key, with the documents of the command line", async () => {
  await go(page, "#/models/order-summary?view=rows&prefix=00");
  const expected = await host.json("model", "scan", "order-summary/orders", "--prefix", "00", "--limit", "20");
  await page.locator(".rows tr[data-row]").first().waitFor();
  const keys = await page.locator(".rows tbody th").allInnerTexts();
  assert.deepEqual(keys.slice(0, expected.length).map((key) => key.trim()), expected.map((row) => row.key));
  await page.locator(".rows tr[data-row]").first().click();
  const shown = await page.locator(".row-detail pre").first().textContent();
  assert.deepEqual(JSON.parse(shown), expected[0].value);
  assert.match(await page.evaluate(() => location.hash), new RegExp(`key=${expected[0].key}`));
});

test("a row has its history: the events that the command line names", async () => {
  const [{ key }] = await host.json("model", "scan", "order-summary/orders", "--limit", "1");
  await go(page, `#/models/order-summary?view=rows&key=${key}`);
  await page.click("[data-history]");
  const expected = await host.json("model", "history", "order-summary/orders", key);
  await page.locator(".row-detail table tbody tr").first().waitFor();
  const shown = await text(page.locator(".row-detail table"));
  for (const change of expected.filter((change) => change.id)) assert.ok(shown.includes(change.id), change.id);
  assertNoComplaints(page);
});

test("two generations that are the same have no difference; others have theirs field by field", async () => {
  await go(page, "#/models/order-summary?view=diff&left=1&right=2");
  await page.locator(".empty", { hasText: "No difference" }).waitFor();
  await host.json("rebuild", "order-summary", "--restart", "--no-promote", "--to", "position:10000");
  const generation = (await host.status("order-summary")).generation;
  await go(page, `#/models/order-summary?view=diff&left=1&right=${generation}`);
  await page.locator(".diff tr[data-row]").first().waitFor();
  const [ours] = await host.json("model", "digest", "order-summary", "--generation", generation);
  const [theirs] = await host.json("model", "digest", "order-summary", "--generation", 1);
  const counts = Object.fromEntries(await page.locator(".counts > div").evaluateAll((all) => all.map((one) => [one.querySelector("dt").innerText.trim(), Number(one.querySelector("dd").innerText.replaceAll(",", ""))])));
  assert.equal(counts.removed + counts.changed + counts["the same"], theirs.rows, JSON.stringify(counts));
  assert.equal(counts.added + counts.changed + counts["the same"], ours.rows, JSON.stringify(counts));
  await page.locator("[data-filter]").fill("cents");
  await until("only such fields are left", async () => {
    const fields = await page.locator(".diff .change b").allInnerTexts();
    return fields.length > 0 && fields.every((field) => /cents/i.test(field));
  });
});

test("verify compares every row, and its result stays", async () => {
  await go(page, "#/models/inventory-levels");
  const dialog = await act(page, "verify");
  await dialog.locator(".note.good", { hasText: "Exact" }).waitFor({ timeout: 60_000 });
  await page.keyboard.press("Escape");
  await page.locator(".generations .mark", { hasText: "exact" }).waitFor();
  await go(page, "#/now");
  await page.locator('tr[data-name="inventory-levels"]', { hasText: "exact" }).waitFor();
});

test("promote, roll back and drop change what the command line sees", async () => {
  await host.json("rebuild", "process-map", "--no-promote");
  await go(page, "#/models/process-map");
  await page.locator(".generations th", { hasText: "Generation 2" }).waitFor();
  await act(page, "promote", { scope: ".generations" });
  await until("generation 2 is live", async () => (await live("process-map")) === 2);
  await page.locator(".generations th.live", { hasText: "Generation 2" }).waitFor();
  const back = await act(page, "rollback", { scope: ".generations" });
  await back.locator(".facts").waitFor();
  await page.keyboard.press("Escape");
  await until("generation 1 is live again", async () => (await live("process-map")) === 1);

  await go(page, "#/models/order-summary");
  const made = await act(page, "as-of", { fields: { to: "position:5000", label: "as-of-5000" } });
  await made.locator(".facts").waitFor({ timeout: 60_000 });
  await page.keyboard.press("Escape");
  const column = page.locator(".generations th", { hasText: "as-of-5000" });
  await column.waitFor();
  await page.locator('.generations [data-action="drop"]').last().scrollIntoViewIfNeeded();
  const names = await page.locator(".generations thead th").allInnerTexts();
  const index = names.findIndex((name) => name.includes("as-of-5000"));
  await page.locator(".generations tr.do").last().locator("td").nth(index).locator('[data-action="drop"]').click();
  await page.locator("dialog [name=typed]").fill("order-summary");
  await page.click("dialog [data-confirm]");
  await until("it is gone", async () => !(await host.json("model", "generations", "order-summary")).some((generation) => generation.name === "as-of-5000"));
  assertNoComplaints(page);
});

test("the receipt on the page is that of the command line", async () => {
  const [receipt] = await host.json("model", "receipt", "inventory-levels");
  await go(page, "#/models/inventory-levels?view=receipt&g=live");
  await page.locator(".receipt").waitFor();
  const shown = await text(page.locator(".receipt"));
  for (const part of [receipt.digest, receipt.sourceIdentity, receipt.ranges[0].pluginDigest, receipt.events.handled.toLocaleString("en-US")]) assert.ok(shown.includes(part), part);
});
