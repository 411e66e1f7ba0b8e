// Runs the tests against the binary that UNSPOOL_BIN names: makes what they all need once, and ends with one line that counts.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");
const bin = process.env.UNSPOOL_BIN && resolve(process.env.UNSPOOL_BIN);
if (!bin || !existsSync(bin)) {
  console.error("UNSPOOL_BIN names no binary: cargo build --release, then UNSPOOL_BIN=target/release/unspool");
  process.exit(2);
}
process.env.UNSPOOL_BIN = bin;
process.env.CHROMIUM ??= chromium();

const made = mkdtempSync(join(tmpdir(), "unspool-browser-"));
process.env.UNSPOOL_MADE = made;
const unspool = (...args) => execFileSync(bin, args, { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
// One history and three read models, copied for each file of tests.
unspool("--data", join(made, "demo"), "demo", "--events", "20000");
for (const [name, features] of [["UNSPOOL_FAULTY", []], ["UNSPOOL_FIXED", ["--features", "fixed"]]]) {
  if (process.env[name]) continue;
  process.env[name] = join(made, `${name.slice(8).toLowerCase()}.wasm`);
  unspool("plugin", "build", "plugins/faulty", "-o", process.env[name], ...features);
}

const wanted = process.argv.slice(2);
const files = readdirSync(here)
  .filter((file) => file.endsWith(".test.mjs") && (wanted.length === 0 || wanted.some((name) => file.startsWith(name))))
  .map((file) => join(here, file));
let passed = 0;
let failed = 0;
// One file after the other: rates and times are watched, and a second browser would disturb them.
const tests = run({ files, concurrency: 1, timeout: 600_000 });
const counts = (data) => data.details?.type !== "suite" && !data.name.endsWith(".test.mjs");
tests.on("test:pass", (data) => counts(data) && passed++);
tests.on("test:fail", (data) => counts(data) && failed++);
tests.compose(spec).pipe(process.stdout);
tests.on("end", () => setTimeout(() => {
  rmSync(made, { recursive: true, force: true });
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed > 0 || passed === 0 ? 1 : 0);
}, 200));

function chromium() {
  const found = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
  if (found) return found;
  console.error("there is no Chromium: apt-get install chromium, or name one with CHROMIUM");
  process.exit(2);
}
