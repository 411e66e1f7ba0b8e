// The client of the HTTP API: everything relative to the page, so that it works below the path of a proxy.
import { parseKeeping } from "./json.js";

/** What the host says went wrong: a problem document, or that there was no answer. */
export class Problem extends Error {
  constructor(document) {
    super(document.detail ?? document.title ?? "The host gave no reason.");
    Object.assign(this, { status: 0, title: "No answer", next: null, current: null }, document);
  }
}

let refused = () => {};
/** Called when the host no longer knows who asks. */
export const onSignedOut = (then) => (refused = then);

export const seg = encodeURIComponent;
export const projectionPath = (name) => `v1/projections/${seg(name)}`;

/** A path with those of `query` that have a value. */
export function withQuery(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/** A path relative to the page: `actions[]` names them from `v1/` on, or below it. */
function relative(path) {
  const own = path.replace(/^\/+/, "");
  return own.startsWith("v1/") ? own : `v1/${own}`;
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(relative(path), { credentials: "same-origin", cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ detail: "The host does not answer.", next: "unspool serve" });
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let document = { title: answer.statusText, detail: text.slice(0, 500) || answer.statusText };
  try {
    document = JSON.parse(text);
  } catch {
    // A proxy in between answered in its own words.
  }
  if (answer.status === 401) refused();
  throw new Problem({ ...document, status: answer.status });
}

export const getText = async (path, options) => (await ask(path, options)).text();
export const get = async (path, options) => JSON.parse(await getText(path, options));

/** Members that hold what users have stored: they stay text. */
const STORED = ["value", "data", "metadata", "raw", "before", "after", "expected", "found"];
export const getStored = async (path, options) => parseKeeping(await getText(path, options), STORED);

/** Lines of a stream, one after the other; an abort or an end of the connection ends it. */
export async function* lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part.trim()) yield part;
  }
  if (rest.trim()) yield rest;
}

/**
 * Carries out something that changes. `onRow` is told how far it is; the answer is what the command prints with --json.
 * `body` is JSON, or the bytes of a file.
 */
export async function send(method, path, { body = {}, etag, reason, onRow = () => {}, signal } = {}) {
  const isFile = body instanceof Blob;
  const headers = { Accept: "application/x-ndjson", "Unspool-Via": "ui" };
  headers["Content-Type"] = isFile ? "application/octet-stream" : "application/json";
  if (etag) headers["If-Match"] = /^(W\/)?"/.test(etag) ? etag : `"${etag}"`;
  // A header is ASCII; what of a reason is not goes percent-encoded.
  if (reason) headers["Unspool-Reason"] = reason.replace(/\s+/g, " ").replace(/[^\x20-\x7e]/gu, encodeURIComponent);
  const options = { method, headers, signal };
  if (method !== "DELETE") options.body = isFile ? body : JSON.stringify(body);
  const answer = await ask(path, options);
  if (answer.status === 204) return null;
  if (!(answer.headers.get("content-type") ?? "").includes("ndjson")) return parse(await answer.text());
  let result;
  for await (const line of lines(answer)) {
    const said = parse(line);
    if (said === null || typeof said !== "object") continue;
    if ("row" in said) onRow(said.row);
    if ("error" in said) throw new Problem(said.error.detail ? said.error : { title: "Failed", ...said.error, detail: said.error.message });
    if ("done" in said) result = said.done;
  }
  if (result === undefined) throw new Problem({ detail: "The host ended before it answered: it may or may not have been done." });
  return result;
}

/** Answers to changes hold counts of the host, and of stored values only those of differing fields. */
const parse = (text) => (text.trim() ? parseKeeping(text, ["expected", "found"]) : null);

/** How far a long action is, where a row says that. */
export const workOf = (row) => row?.progress ?? (typeof row?.done === "number" ? row : null);

export async function signIn(secret) {
  await ask("v1/session", {
    method: "POST",
    headers: { "Content-Type": "application/json", "Unspool-Via": "ui" },
    body: JSON.stringify(secret),
  });
}

export const signOut = () => ask("v1/session", { method: "DELETE", headers: { "Unspool-Via": "ui" } });
