// Who did what: acts from the page, the command line and the host itself; and the tab of the host.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
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

const entry = (...texts) => texts.reduce((rows, hasText) => rows.filter({ hasText }), page.locator("tr[data-row]"));

test("an act from the page and one from the command line are both there, with reason and change", async () => {
  await host.json("rebuild", "order-summary", "--rate-limit", "500", "--detach");
  await go(page, "#/rebuild/order-summary");
  await act(page, "pause", { reason: "month’s end" });
  await host.statusIs("order-summary", "paused");
  await host.json("cancel", "order-summary");
  await go(page, "#/activity");
  await entry("pause", "dashboard", "month’s end").first().waitFor();
  await entry("cancel", "command line").first().waitFor();
  assert.match(await text(entry("pause", "dashboard").first()), /running → paused/);
  assertNoComplaints(page);
});

test("a refused act is there, too", async () => {
  await host.command("pause", "order-summary");
  await entry("pause", "refused").first().waitFor();
});

test("filters stand in the address, and what is exported is what is shown", async () => {
  await page.locator("main select").first().selectOption("order-summary");
  await until("only such entries are shown", async () => (await page.locator('tr[data-row]:not([data-name="order-summary"])').count()) === 0);
  assert.match(await page.evaluate(() => location.hash), /projection=order-summary/);
  const shown = await page.locator("tr[data-row]").count();
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("[data-export]")]);
  const lines = readFileSync(await download.path(), "utf8").trim().split("\n").map((line) => JSON.parse(line));
  assert.equal(lines.length, shown);
  assert.ok(lines.every((line) => line.projection === "order-summary"));
});

test("the chain is checked", async () => {
  await page.click("[data-check]");
  await page.locator(".mark", { hasText: /chain verified to #\d/ }).waitFor();
});

test("the host says what it is, and what it logs", async () => {
  await go(page, "#/activity?tab=host");
  const shown = await text(page.locator(".cards"));
  const [stats] = await host.json("events", "stats");
  for (const part of [host.data, `127.0.0.1:${host.port}`, stats.events.toLocaleString("en-US"), "admin"]) assert.ok(shown.includes(part), `${part} in ${shown}`);
  await page.locator(".log li").first().waitFor();
  assert.match(await page.locator('.cards a[href="metrics"]').evaluate((link) => link.href), new RegExp(`:${host.port}/metrics$`));
  assertNoComplaints(page);
});

test("a plugin is installed and events are imported from the page", async () => {
  await act(page, "import", { file: host.file("two.ndjson", '{"id":"x1","stream":"x","type":"Fine","timestamp":1706702400000,"data":{}}\n') });
  await page.locator("dialog .facts", { hasText: "added" }).waitFor();
  await page.keyboard.press("Escape");
  assert.equal((await host.json("events", "show", "x1"))[0].id, "x1");
  await act(page, "install", { file: process.env.UNSPOOL_FAULTY });
  await page.locator("dialog .facts", { hasText: "faulty" }).waitFor();
  await page.keyboard.press("Escape");
  assert.ok((await host.json("plugin", "list")).some((plugin) => plugin.projectionName === "faulty"));
});
