// A browser, and a page of it that is signed in; what the page complains about fails the test.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { until } from "./host.mjs";

export class Browser {
  static async start() {
    const browser = new Browser();
    browser.inner = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
    return browser;
  }

  end() {
    return this.inner.close();
  }

  /** A page of its own session. Without `url` it is signed in with a one-time code of `host`. */
  async open(host, { theme = "light", width = 1280, height = 860, url } = {}) {
    const context = await this.inner.newContext({ colorScheme: theme, viewport: { width, height }, acceptDownloads: true });
    const page = await context.newPage();
    page.complaints = [];
    page.on("pageerror", (error) => page.complaints.push(String(error.stack ?? error)));
    page.on("console", (message) => {
      // A host that is away and requests that are refused on purpose are no fault of the page.
      if (message.type() === "error" && !/Failed to load resource|net::ERR/.test(message.text())) page.complaints.push(message.text());
    });
    page.setDefaultTimeout(15_000);
    await page.goto(url ?? (await host.address()));
    if (!url) await page.waitForSelector("[data-light=live]");
    return page;
  }
}

/** Goes to a screen by its address. */
export async function go(page, hash) {
  await page.evaluate((hash) => (location.hash = hash), hash);
  await page.waitForSelector("main h1");
  // The screen of another projection has the same parts.
  const name = /^#\/rebuild\/([^?]+)/.exec(hash)?.[1];
  if (name) await page.locator("main h1", { hasText: decodeURIComponent(name) }).waitFor();
  await until("it has been read", () => page.evaluate(() => !document.querySelector("main [aria-busy=true]")));
}

/** Presses the button of an action within `scope`, and fills in and confirms its dialog. */
export async function act(page, name, { scope = "main", fields = {}, choose = {}, check = [], typed, reason, file, confirm = true } = {}) {
  await page.locator(`${scope} [data-action="${name}"]:not([aria-disabled])`).first().click();
  const dialog = page.locator(`dialog [data-dialog="${name}"]`);
  await dialog.waitFor();
  if (file) await dialog.locator("input[type=file]").setInputFiles(file);
  for (const [field, value] of Object.entries(fields)) await dialog.locator(`[name="${field}"]`).fill(String(value));
  for (const [field, value] of Object.entries(choose)) await dialog.locator(`[name="${field}"]`).selectOption(value);
  for (const field of check) await dialog.locator(`[name="${field}"]`).check();
  if (typed) await dialog.locator("[name=typed]").fill(typed);
  if (reason) await dialog.locator("[name=reason]").fill(reason);
  if (confirm) await dialog.locator("[data-confirm]:not([aria-disabled])").click();
  return dialog;
}

/** The text of an element, white space made one. */
export const text = async (locator) => (await locator.innerText()).replace(/\s+/g, " ").trim();

export const commandIn = (dialog) => dialog.locator(".command code").first().innerText();

export function assertNoComplaints(page) {
  assert.deepEqual(page.complaints, []);
}
