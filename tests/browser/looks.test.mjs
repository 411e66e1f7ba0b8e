// Each screen, in both themes and three widths: nothing that axe finds, nothing wider than the screen; and pictures for people.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { act, assertNoComplaints, Browser, go } from "./browser.mjs";
import { Host } from "./host.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SHOTS = process.env.SHOTS ?? join(dirname(fileURLToPath(import.meta.url)), "shots");
const WIDTHS = [390, 1280, 1920];
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

let host, browser, screens;
before(async () => {
  mkdirSync(SHOTS, { recursive: true });
  [host, browser] = await Promise.all([Host.start(), Browser.start()]);
  await host.importBadEvents();
  await host.installFaulty();
  await host.command("rebuild", "faulty");
  await host.json("rebuild", "order-summary", "--no-promote", "--to", "position:9000");
  await host.json("model", "verify", "process-map");
  await host.json("rebuild", "inventory-levels", "--rate-limit", "150", "--detach");
  const [{ key }] = await host.json("model", "scan", "order-summary/orders", "--limit", "1");
  screens = {
    now: "#/now", choose: "#/rebuild", running: "#/rebuild/inventory-levels", failed: "#/rebuild/faulty", generations: "#/models/order-summary",
    rows: `#/models/order-summary?view=rows&key=${key}`, differences: "#/models/order-summary?view=diff&left=1&right=2", receipt: "#/models/order-summary?view=receipt&g=live",
    "dead-letters": "#/dead-letters/faulty", activity: "#/activity", host: "#/activity?tab=host",
  };
});
after(async () => {
  await browser?.end();
  await host?.remove();
});

/** What axe finds, each as one line. */
async function faults(page) {
  await page.evaluate(`${AXE};void 0`);
  const { violations } = await page.evaluate((values) => axe.run(document, { runOnly: { type: "tag", values } }), RULES);
  return violations.flatMap((violation) => violation.nodes.map((node) => `${violation.id}: ${node.target.join(" ")}: ${node.html.slice(0, 120)}`));
}

async function look(page, name, width, theme) {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${name} is ${overflow} pixels wider than ${width}`);
  await page.screenshot({ path: join(SHOTS, `${name}-${width}-${theme}.png`), fullPage: true });
  // Wider than this nothing moves any more that axe could find fault with.
  if (width <= 1280) assert.deepEqual(await faults(page), [], `${name} at ${width}, ${theme}`);
}

for (const theme of ["light", "dark"]) {
  for (const width of WIDTHS) {
    test(`every screen at ${width} pixels, ${theme}`, async () => {
      const page = await browser.open(host, { theme, width, height: width < 500 ? 844 : 900 });
      for (const [name, hash] of Object.entries(screens)) {
        await go(page, hash);
        await page.waitForTimeout(400);
        await look(page, name, width, theme);
      }
      assertNoComplaints(page);
      await page.context().close();
    });
  }

  test(`dialogs, the sign-in and a page without a host, ${theme}`, async () => {
    const page = await browser.open(host, { theme });
    await go(page, "#/rebuild/inventory-levels");
    const dialog = await act(page, "cancel", { confirm: false });
    await look(page, "dialog-cancel", 1280, theme);
    await dialog.locator("button", { hasText: "Keep as it is" }).click();
    await go(page, "#/rebuild/order-summary");
    await act(page, "rebuild", { confirm: false });
    await page.locator("dialog .plan .facts").waitFor();
    await look(page, "dialog-rebuild", 1280, theme);
    await page.keyboard.press("Escape");
    const stranger = await browser.open(host, { theme, url: host.url });
    await stranger.waitForSelector(".signin");
    await look(stranger, "sign-in", 1280, theme);
    await host.end("SIGKILL");
    await page.waitForSelector("[data-light=lost]");
    await look(page, "lost", 1280, theme);
    await host.serve();
    await page.waitForSelector("[data-light=live]");
    await page.context().close();
    await stranger.context().close();
  });

  test(`the reference of requests, ${theme}`, async () => {
    const page = await browser.open(host, { theme });
    await page.goto(new URL("reference.html", host.url).href);
    await page.locator("details").first().waitFor();
    const described = await page.evaluate(() => fetch("v1/openapi.json").then((answer) => answer.json()));
    const operations = Object.values(described.paths).flatMap((of) => Object.keys(of));
    assert.equal(await page.locator("main > section > details").count(), operations.length);
    await page.locator("input[type=search]").fill("rollback");
    const rollback = page.locator("#post-projections-name-rollback");
    await rollback.locator("summary").first().click();
    for (const kind of ["application/json", "application/x-ndjson"]) await rollback.locator("details > summary", { hasText: kind }).last().click();
    await rollback.locator("th", { hasText: "liveGeneration" }).first().waitFor();
    await look(page, "reference", 1280, theme);
    await page.setViewportSize({ width: 390, height: 844 });
    await look(page, "reference", 390, theme);
    assertNoComplaints(page);
    await page.context().close();
  });
}

test("motion stops for those who want none, and the theme that was chosen stays", async () => {
  const page = await browser.open(host);
  await page.emulateMedia({ reducedMotion: "reduce" });
  await go(page, "#/now");
  assert.equal(await page.locator(".bar span").first().evaluate((bar) => getComputedStyle(bar).transitionDuration), "0s");
  await page.locator(".theme select").selectOption("dark");
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  await page.reload();
  await page.waitForSelector("[data-light=live]");
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  await page.context().close();
});
