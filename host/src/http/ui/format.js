// Numbers, times and names as people read them. What is unknown is a dash, never a zero.

export const DASH = "–";
let skew = 0;

/** The clock of the host: ages must not depend on the clock of who looks. */
export const now = () => Date.now() + skew;
export const setClock = (host) => (skew = Math.abs(host - Date.now()) > 2000 ? host - Date.now() : 0);

export const count = (n) => (n === null || n === undefined ? DASH : Number(n).toLocaleString("en-US", { maximumFractionDigits: 0 }));
export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;

/** A rate with as many digits as mean something. */
export function rate(n) {
  if (n === null || n === undefined) return DASH;
  return `${n < 10 ? Number(n.toFixed(1)) : count(Math.round(n))} events/s`;
}

/** Percent, cut and not rounded: 100 % is said of what is done only. */
export function percent(n) {
  if (n === null || n === undefined) return DASH;
  return n === 100 ? "100 %" : `${(Math.floor(n * 10) / 10).toFixed(1)} %`;
}

export function duration(ms) {
  if (ms === null || ms === undefined) return DASH;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} min${m < 10 && Math.round(s % 60) ? ` ${Math.round(s % 60)} s` : ""}`;
  const h = Math.floor(m / 60);
  if (h < 48) return `${h} h${m % 60 ? ` ${m % 60} min` : ""}`;
  return `${Math.floor(h / 24)} days`;
}

/** An age in one unit. */
export function age(at) {
  if (at === null || at === undefined) return DASH;
  const s = Math.max(0, (now() - at) / 1000);
  if (s < 5) return "just now";
  if (s < 60) return `${Math.floor(s)} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} days ago`;
}

/** A moment in full, in UTC as the command line and the log have it. */
export function moment(at, digits = 19) {
  if (at === null || at === undefined) return DASH;
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? String(at) : `${date.toISOString().slice(0, digits).replace("T", " ")} UTC`;
}

/** The time of day where one sits. */
export const clock = (at) => new Date(at).toLocaleTimeString("en-GB");

export function bytes(n) {
  if (n === null || n === undefined) return DASH;
  const units = ["B", "KB", "MB", "GB", "TB"];
  let i = 0;
  while (n >= 1000 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return `${i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}

export const short = (digest) => (digest ? String(digest).slice(0, 12) : DASH);

/** The number that a position is drawn at; a pair is ordered by its first part. */
export function place(position) {
  if (typeof position === "number") return position;
  const [major, minor] = String(position).split(":");
  return minor === undefined ? Number(major) : Number(major) + Number(minor) / 1e9;
}

/** A position as it is written: long ones are grouped, pairs stay pairs. */
export const position = (p) => (typeof p === "number" ? count(p) : p === null || p === undefined ? DASH : String(p));

/** What a person wants to call an actor. */
export const actor = (a) => (!a ? DASH : a.kind === "host" ? "host" : a.name ?? a.kind);

/** A time as the contract has it, or the object that has it under `at`. */
export const at = (t) => (t && typeof t === "object" ? t.at : t);

/** What an entry of the activity is about: the request, or for what the host did by itself what was changed. */
export const kindOf = (entry) => (entry.request === "host" && entry.change ? entry.change.what : entry.request);

/** A value of an entry: what is named in it, digests short. */
export function value(v) {
  if (v === null || v === undefined) return "nothing";
  if (Array.isArray(v)) return v.map(value).join(", ");
  if (typeof v !== "object") return String(v);
  return Object.entries(v).map(([name, one]) => `${words(name)} ${name.toLowerCase().endsWith("digest") ? short(one) : value(one)}`).join(", ");
}

/** A word that is read on the command line, as a shell takes it. */
export const quoted = (word) => (/^[\w./:@=+-]+$/.test(word) ? word : `'${String(word).replaceAll("'", `'\\''`)}'`);

/** `camelCase` as words. */
export const words = (name) => name.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
