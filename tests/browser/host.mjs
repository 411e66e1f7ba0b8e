// A host of the real binary on a data directory of its own, and commands beside it.
import { execFile, spawn } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const BIN = process.env.UNSPOOL_BIN;
/** Nothing here takes so long; a test that waits for it has failed. */
const PATIENCE_MS = 30_000;

/** What `look` gives as soon as it is true; an error that says what was waited for otherwise. */
export async function until(what, look, ms = PATIENCE_MS) {
  const end = Date.now() + ms;
  let last;
  for (;;) {
    try {
      last = await look();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`waited in vain until ${what}; last: ${last?.message ?? JSON.stringify(last)}`);
    await sleep(100);
  }
}

export class Host {
  /** A host on a copy of the demo's directory. */
  static async start() {
    const host = new Host();
    host.data = join(mkdtempSync(join(tmpdir(), "unspool-host-")), "data");
    cpSync(join(process.env.UNSPOOL_MADE, "demo"), host.data, { recursive: true });
    await host.serve();
    return host;
  }

  /** Serves; on the same port again after the first time. */
  async serve() {
    this.process = spawn(BIN, ["--data", this.data, "serve", "--listen", `127.0.0.1:${this.port ?? 0}`], { stdio: ["ignore", "pipe", "pipe"] });
    this.said = "";
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on("data", (text) => (this.said += text));
    const url = await until("the host says where it listens", () => {
      if (this.process.exitCode !== null) throw new Error(`it ended: ${this.said}`);
      return /listening on (http:\/\/127\.0\.0\.1:\d+)/.exec(this.said)?.[1];
    });
    this.url = `${url}/`;
    this.port = new URL(url).port;
  }

  async end(signal = "SIGTERM") {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = new Promise((done) => this.process.once("exit", done));
    this.process.kill(signal);
    await ended;
  }

  async remove() {
    await this.end();
    rmSync(join(this.data, ".."), { recursive: true, force: true });
  }

  /** A command of its own process: its exit code and text. */
  command(...args) {
    return new Promise((done) => {
      execFile(BIN, ["--data", this.data, ...args.map(String)], { maxBuffer: 1 << 27 }, (error, stdout, stderr) => done({ code: error ? error.code ?? 1 : 0, stdout, stderr }));
    });
  }

  /** The objects that a command prints with --json; an exit code other than 0 is an error unless it is allowed. */
  async json(...args) {
    const { code, stdout, stderr } = await this.command("--json", ...args);
    if (code !== 0) throw new Error(`unspool ${args.join(" ")} ended with ${code}: ${stdout}${stderr}`);
    return stdout.trim().split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }

  async status(name) {
    const { stdout } = await this.command("--json", "status", name);
    return JSON.parse(stdout);
  }

  statusIs(name, wanted) {
    return until(`${name} is ${wanted}`, async () => {
      const status = await this.status(name);
      return status.status === wanted && status;
    });
  }

  /** The address with a one-time code. */
  async address() {
    const { stdout } = await this.command("ui", "--print");
    return /http\S+#code=\S+/.exec(stdout)[0];
  }

  file(name, text) {
    const path = join(this.data, "..", name);
    writeFileSync(path, text);
    return path;
  }

  /** Events that the plugin `faulty` fails at, in three streams; one has numbers that JavaScript cannot hold. */
  async importBadEvents() {
    const event = (id, stream, type, data = "{}") => `{"id":"${id}","stream":"${stream}","type":"${type}","timestamp":1706702400000,"data":${data}}`;
    const lines = [
      event("e1", "a", "Fine"), event("e2", "b", "Fine"), event("e3", "a", "Panic", `{"total":12345678901234567890}`), event("e4", "a", "Fine"),
      event("e5", "c", "Error"), event("e6", "c", "Fine"), event("e7", "d", "Panic"),
    ];
    await this.json("events", "import", this.file("bad.ndjson", `${lines.join("\n")}\n`));
  }

  installFaulty() {
    return this.json("plugin", "install", process.env.UNSPOOL_FAULTY);
  }
}

export const FIXED = () => process.env.UNSPOOL_FIXED;
