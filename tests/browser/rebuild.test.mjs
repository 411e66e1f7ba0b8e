// One projection: the plan and its command, the failure and the way out of it, and following.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { act, assertNoComplaints, Browser, commandIn, go, text } from "./browser.mjs";
import { FIXED, Host, until } from "./host.mjs";

let host, browser, page;
before(async () => {
  [host, browser] = await Promise.all([Host.start(), Browser.start()]);
  page = await browser.open(host);
});
after(async () => {
  await browser?.end();
  await host?.remove();
});

test("the dialog of a rebuild has the plan and the command of the command line", async () => {
  await go(page, "#/rebuild/order-summary");
  const dialog = await act(page, "rebuild", { fields: { rateLimit: 700, chunkSize: 100 }, check: ["noPromote"], confirm: false });
  assert.equal(await commandIn(dialog), "unspool rebuild order-summary --rate-limit 700 --chunk-size 100 --no-promote");
  const [plan] = await host.json("rebuild", "order-summary", "--dry-run", "--rate-limit", "700", "--chunk-size", "100", "--no-promote");
  await until("the plan is that of the options", async () => /Chunk size 100/.test(await text(dialog.locator(".plan"))));
  const shown = await text(dialog.locator(".plan"));
  for (const part of [plan.wouldBe, `after ${plan.after} to ${plan.target}`, plan.events.toLocaleString("en-US"), plan.pluginDigest.slice(0, 12), "Promotes no"]) assert.ok(shown.includes(part), `${part} in ${shown}`);
  await dialog.locator("[data-confirm]").click();
  const status = await host.statusIs("order-summary", "running");
  await until("the screen says how far it is", async () => (await text(page.locator(".numbers"))).includes("Events per second"));
  assert.match(await text(page.locator(".numbers")), new RegExp(`generation ${status.generation}`));
  await host.json("cancel", "order-summary");
  assertNoComplaints(page);
});

test("charts have their numbers as sentences", async () => {
  await host.json("rebuild", "process-map", "--rate-limit", "2000", "--detach");
  await go(page, "#/rebuild/process-map");
  await page.locator(".chart canvas").first().waitFor();
  assert.equal(await page.locator(".chart").count(), 4);
  await until("the rate has a summary", async () => /rate: latest [\d,]+, lowest/.test(await page.locator(".chart .unseen").first().textContent()));
  await until("so has the memory", async () => /memory: latest [\d.,]+ [KM]B, lowest/.test(await page.locator(".chart .unseen").last().textContent()));
  await host.json("cancel", "process-map");
});

// Before there are events that not every projection can handle.
test("follow, catch up and stop following are seen in the status", async () => {
  await go(page, "#/rebuild/inventory-levels");
  await act(page, "follow", { scope: "aside" });
  await until("it is followed", async () => (await host.status("inventory-levels")).following === "following");
  await page.locator(".head .mark", { hasText: "following" }).waitFor();
  await act(page, "unfollow", { scope: "aside" });
  await until("it is not followed", async () => !(await host.status("inventory-levels")).following);
  await page.locator(".head .mark", { hasText: "completed" }).waitFor();
  await act(page, "catch-up", { scope: "aside" });
  await page.locator("dialog .facts").filter({ hasText: "caught_up" }).waitFor();
  await page.keyboard.press("Escape");
});

test("a failure names the event, the message, the place and the frames, and keeps the digits of the payload", async () => {
  await host.importBadEvents();
  await host.installFaulty();
  await host.command("rebuild", "faulty");
  const { failure } = await host.statusIs("faulty", "failed");
  await go(page, "#/rebuild/faulty");
  const shown = page.locator(".failure");
  await shown.locator(".document").waitFor();
  const all = await text(shown);
  for (const part of ["e3", "Panic", "asked to panic by event e3", failure.pluginDigest.slice(0, 12)]) assert.ok(all.includes(part), part);
  assert.match(await text(shown.locator(".place").first()), /src\/lib\.rs:\d+:\d+/);
  assert.ok((await text(shown.locator(".document").first())).includes("12345678901234567890"));
  assert.ok((await shown.locator(".backtrace .own").count()) > 0);
});

test("try, swap and resume are the way out, on one page", async () => {
  const before = (await host.json("plugin", "list")).find((plugin) => plugin.projectionName === "faulty").digest;
  const way = page.locator(".wayout");
  assert.equal(await way.locator("[data-swap]").getAttribute("aria-disabled"), "true");
  await way.locator("[data-component]").setInputFiles(FIXED());
  await way.locator("[data-try]").click();
  await way.locator(".note").first().waitFor();
  assert.match(await text(way), /would differ/);
  assert.equal((await host.json("plugin", "list")).find((plugin) => plugin.projectionName === "faulty").digest, before, "to try keeps nothing");
  await way.locator("[data-swap]").click();
  await page.click("dialog [data-confirm]");
  await page.locator("dialog .note.good, dialog .facts").first().waitFor();
  await page.keyboard.press("Escape");
  assert.notEqual((await host.json("plugin", "list")).find((plugin) => plugin.projectionName === "faulty").digest, before);
  await act(page, "resume", { scope: ".wayout" });
  const status = await host.statusIs("faulty", "completed");
  assert.equal(status.eventsProcessed, 7);
  await page.locator(".head .mark", { hasText: "completed" }).waitFor();
  assertNoComplaints(page);
});

test("what is not allowed is there, and says why", async () => {
  await go(page, "#/rebuild/inventory-levels");
  const pause = page.locator('aside [data-action="pause"]');
  assert.equal(await pause.getAttribute("aria-disabled"), "true");
  const why = await pause.getAttribute("aria-describedby");
  assert.ok((await text(page.locator(`[id="${why}"]`))).length > 5);
  await pause.click({ force: true });
  assert.equal(await page.locator("dialog").count(), 0);
});
