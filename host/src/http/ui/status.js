// What state a projection is in, as a word, a shape and a tone; and which of its stages limits it.
import { actionOf } from "./actions.js";
import { at, duration, plural, rate } from "./format.js";
import { html } from "./html.js";
import { live } from "./live.js";

const SHAPES = {
  running: "M5 3.5v9l8-4.5z",
  paused: "M4.5 3.5h2.6v9H4.5zM8.9 3.5h2.6v9H8.9z",
  completed: "M6.6 12.2 2.6 8.3l1.5-1.5 2.5 2.4L12 3.9l1.5 1.4z",
  failed: "M4.4 3 8 6.6 11.6 3 13 4.4 9.4 8 13 11.6 11.6 13 8 9.4 4.4 13 3 11.6 6.6 8 3 4.4z",
  cancelled: "M3 7h10v2H3z",
  interrupted: "M9.4 1.5 3 9h4l-1 5.5L13 7H8.6z",
  stalled: "M4 2h8v2.2L9.3 8 12 11.8V14H4v-2.2L6.7 8 4 4.2z",
  waiting: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8zm.9 2.7v3.1l2.2 1.9-1.1 1.3-2.9-2.5V4.5z",
  following: "M3 3.5 7.2 8 3 12.5l1.4 1.3L9.9 8 4.4 2.2zM7.6 3.5 11.8 8l-4.2 4.5L9 13.8 14.5 8 9 2.2z",
  none: "M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3zm0 1.8a3.2 3.2 0 1 1 0 6.4 3.2 3.2 0 0 1 0-6.4z",
  warn: "M8 1.8 15 14H1zM7.2 6v4h1.6V6zm0 5v1.6h1.6V11z",
};
const TONES = {
  running: "accent", following: "good", completed: "good", failed: "bad", stalled: "warn", waiting: "warn", interrupted: "warn",
  paused: "quiet", cancelled: "quiet", none: "quiet",
};
const WORDS = { none: "never rebuilt" };

/** The one state that matters most of a projection. */
export function stateOf(p) {
  const r = p.rebuild;
  if (!r) return "none";
  if (r.status === "failed" || r.following === "failed" || r.live?.failure) return "failed";
  if (r.stalled) return "stalled";
  if (r.waiting) return "waiting";
  if (r.interrupted) return "interrupted";
  if (r.status === "running") return "running";
  if (r.following || r.live?.follows) return r.status === "completed" ? "following" : r.status;
  return r.status;
}

export const isBehind = (p) => !!p.rebuild && (p.rebuild.staleSince != null || (p.rebuild.follow?.events ?? 0) > 0);
export const needs = {
  failed: (p) => stateOf(p) === "failed",
  stalled: (p) => !!p.rebuild?.stalled,
  parked: (p) => p.deadLetters > 0,
  behind: isBehind,
};

export const Shape = ({ name }) => html`<svg class="shape" viewBox="0 0 16 16" aria-hidden="true"><path fill-rule="evenodd" d=${SHAPES[name]} /></svg>`;

export function Mark({ state, word, tone }) {
  return html`<span class=${`mark ${tone ?? TONES[state] ?? "quiet"}`}><${Shape} name=${state in SHAPES ? state : "none"} />${word ?? WORDS[state] ?? state}</span>`;
}

export const failureOf = (p) => p.rebuild?.failure ?? p.rebuild?.live?.failure ?? null;

/** How fast, and until when; or why that is not known. */
export function pace(r) {
  if (!r) return "no rebuild yet";
  if (r.waiting) return `waits for ${r.waiting.kind === "store" ? "the database" : `the ${r.waiting.kind}`}, ${duration(r.waiting.ms)}`;
  if (r.status === "running") {
    if (r.estimatedRemainingMs !== null && r.estimatedRemainingMs !== undefined) return `${rate(r.eventsPerSecond)} · ${duration(r.estimatedRemainingMs)} left`;
    return `${rate(r.eventsPerSecond)} · ${r.totalEvents === null ? "the source does not count" : "time left not known yet"}`;
  }
  if (r.following === "following") return r.follow?.events ? `${plural(r.follow.events, "event")} behind` : "up to date";
  if (r.status === "paused") return r.interrupted ? "its host ended; goes on with serve" : "paused by an operator";
  if (r.status === "failed") return "stopped, and resumable";
  return r.eventsPerSecond ? `at ${rate(r.eventsPerSecond)}` : "";
}

/** `read`, `handle` or `commit`: the stage the others wait for, over the last seconds where they are known. */
export function limitingStage(p) {
  const r = p.rebuild;
  if (r?.status !== "running" || !r.stages) return null;
  const before = live.rates.get(p.name)?.filter((point) => point.stages).at(-6)?.stages;
  const d = (name) => Math.max(0, r.stages[name] - (before?.[name] ?? 0));
  const [handle, forRead, forCommit] = [d("handleMs"), d("handleWaitedForReadMs"), d("handleWaitedForCommitMs")];
  if (handle + forRead + forCommit + d("readMs") === 0) return null;
  if (forCommit > forRead && forCommit > handle / 2) return "commit";
  return forRead > handle / 2 ? "read" : "handle";
}

/** Whether the live generation is right, as far as anybody has looked. */
export function Trust({ p, age }) {
  const v = p.lastVerify;
  if (!p.plugin?.liveGeneration && !p.live) return html`<span class="quiet">nothing live</span>`;
  if (!v) return html`<span class="quiet">never verified</span>`;
  const isOther = p.live && v.generation !== p.live.generation;
  const mark = v.differences ? html`<${Mark} state="failed" word=${plural(v.differences, "difference")} />` : html`<${Mark} state="completed" word="exact" />`;
  return html`${mark}<small>${age(at(v.at))}${isOther ? `, of generation ${v.generation}` : ""}</small>`;
}

/** Which of the actions that the server allows comes first in this state; where it allows none of them, the one it explains. */
export function nextAction(p) {
  const wanted = { running: ["pause"], paused: ["resume"], interrupted: ["resume"], failed: ["resume", "follow"], stalled: ["pause", "cancel"], waiting: ["pause"] }[stateOf(p)] ?? [];
  const inOrder = [...wanted, ...(p.deadLetters ? ["dead-letters-retry"] : []), "promote", ...(p.lastVerify ? [] : ["verify"]), "rebuild", "verify"];
  return inOrder.find((name) => actionOf(p, name)?.allowed) ?? wanted[0] ?? "rebuild";
}
