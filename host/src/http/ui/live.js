// What the page knows of the host: one stream of events per tab, one store, everybody reads from it.
import { get, onSignedOut, signIn } from "./api.js";
import { setClock, now } from "./format.js";
import { useEffect, useState } from "./html.js";

/** How many newest entries of the activity and lines of the log arrive with the stream and are kept. */
const KEPT = 200;
/** How long a sparkline is. */
const SPARK_MS = 15 * 60_000;
/** After so long without a word from the host it is asked whether it is there. */
const SILENCE_MS = 20_000;
const RETRY_MS = 1500;

/** `light`: "starting", "live", "lost" (as of `asOf`) or "hidden" (nobody looks); `phase`: "starting", "in" or "out". */
export const live = {
  phase: "starting", light: "starting", asOf: null, host: null, problem: null, projections: [], loaded: false,
  activity: [], log: [], rates: new Map(),
};
const listeners = new Set();
let stream = null;
let retry = null;

const tell = () => listeners.forEach((listener) => listener());

/** Draws again whenever something of the store has changed. */
export function useLive() {
  const [, draw] = useState(0);
  useEffect(() => {
    const listener = () => draw((n) => n + 1);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, []);
  return live;
}

export const projection = (name) => live.projections.find((p) => p.name === name);

/** Signs in with the code of the address, if there is one, and begins. */
export async function begin() {
  onSignedOut(() => {
    close();
    set({ phase: "out", light: "lost" });
  });
  await exchange();
  await connect();
  // Such an address may be pasted where the page is open already, which loads nothing anew.
  addEventListener("hashchange", async () => (await exchange()) && connect());
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      close();
      if (live.phase === "in") set({ light: "hidden" });
    } else if (live.phase === "in") connect();
  });
  setInterval(watch, 5000);
}

/** Exchanges the code of the address for a session, once, and removes it: true where that opened one. */
async function exchange() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (!code) return false;
  history.replaceState(null, "", location.pathname + location.search);
  try {
    await signIn({ code });
    return true;
  } catch (problem) {
    set({ problem });
    return false;
  }
}

/** Reads who one is and what there is, and opens the stream; tries again by itself for as long as the host is away. */
export async function connect() {
  clearTimeout(retry);
  try {
    const host = await get("v1/host");
    setClock(host.now);
    const { projections } = await get("v1/projections");
    set({ host, projections, phase: "in", problem: null, loaded: true });
    heard();
    if (!document.hidden) open();
  } catch (problem) {
    if (problem.status === 401) return;
    lost(problem);
    retry = setTimeout(connect, RETRY_MS);
  }
}

function open() {
  close();
  stream = new EventSource("v1/stream");
  stream.addEventListener("status", (event) => {
    live.projections = JSON.parse(event.data).projections.map(newer);
    remember();
    heard();
  });
  stream.addEventListener("activity", (event) => {
    live.activity = [JSON.parse(event.data), ...live.activity].slice(0, KEPT);
    heard();
  });
  stream.addEventListener("log", (event) => {
    live.log = [...live.log, JSON.parse(event.data)].slice(-KEPT);
    heard();
  });
  stream.onopen = heard;
  stream.onerror = () => {
    // The browser's own retries end at the first answer that is no stream; these do not, and they notice a session that is over.
    close();
    lost();
    retry = setTimeout(connect, RETRY_MS);
  };
}

function close() {
  clearTimeout(retry);
  stream?.close();
  stream = null;
}

function heard() {
  set({ light: "live", asOf: Date.now(), problem: null });
}

function lost(problem = null) {
  if (live.phase === "starting" && problem) live.problem = problem;
  set({ light: "lost" });
}

/** A connection may be gone without a word, after a sleep or behind a proxy. */
async function watch() {
  if (live.light !== "live" || Date.now() - live.asOf < SILENCE_MS) return;
  try {
    live.host = await get("v1/host", { signal: AbortSignal.timeout(4000) });
    heard();
  } catch {
    if (live.phase !== "in") return;
    close();
    lost();
    retry = setTimeout(connect, RETRY_MS);
  }
}

/** What was read of a projection, unless something that was read later is known already: answers may overtake each other. */
function newer(read) {
  const known = projection(read.name);
  return known && Number(known.etag) > Number(read.etag) ? known : read;
}

/** The state of one projection right now, after an action or a refused one. */
export async function refresh(name) {
  const fresh = await get(`v1/projections/${encodeURIComponent(name)}`);
  set({ projections: live.projections.map((p) => (p.name === name ? newer(fresh) : p)) });
  return fresh;
}

/** One point a second and projection for the sparklines. */
function remember() {
  const time = now();
  for (const p of live.projections) {
    const points = live.rates.get(p.name) ?? [];
    const last = points.at(-1);
    if (last && time - last.at < 1000) continue;
    const running = p.rebuild?.status === "running" || p.rebuild?.following === "following";
    points.push({ at: time, rate: running ? p.rebuild.eventsPerSecond : null, stages: p.rebuild?.stages });
    while (points[0].at < time - SPARK_MS) points.shift();
    live.rates.set(p.name, points);
  }
}

/** What was before the page was opened; asked for once, by whoever draws a sparkline. */
const asked = new Set();
export async function pastRates(name) {
  if (asked.has(name)) return;
  asked.add(name);
  try {
    const { fine } = await get(`v1/projections/${encodeURIComponent(name)}/samples`);
    const ours = live.rates.get(name) ?? [];
    const first = ours[0]?.at ?? Infinity;
    const past = fine.at.map((at, i) => ({ at, rate: fine.series.eventsPerSecond?.[i] ?? null }));
    live.rates.set(name, [...past.filter((point) => point.at < first && point.at > now() - SPARK_MS), ...ours]);
    tell();
  } catch {
    asked.delete(name);
  }
}

function set(change) {
  Object.assign(live, change);
  tell();
}
