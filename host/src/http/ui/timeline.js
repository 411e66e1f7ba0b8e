// The history of one rebuild along its position: which plugin built which part, and what happened where.
import { get, projectionPath, withQuery } from "./api.js";
import { actor, count, moment, percent, place, position, short, value } from "./format.js";
import { html } from "./html.js";
import { live } from "./live.js";
import { Age, useLoad } from "./parts.js";
import { failureOf, Shape } from "./status.js";

/** Requests that are marked, with their shape, where they changed no state of their own. */
const REQUESTS = { swap: "following", "plugin-swap": "following", "plugin-rollback": "following", rollback: "interrupted", rebuild: "running" };

/** The shape of an entry: what became of the rebuild, another plugin, another live generation; null for what belongs elsewhere. */
function shapeOf(entry, generation) {
  const { change } = entry;
  if (!change) return entry.outcome === "done" || entry.outcome === "failed" ? REQUESTS[entry.request] ?? null : null;
  if (change.generation && change.generation !== generation) return null;
  if (change.what === "status") return change.after in STATES ? STATES[change.after] : "none";
  return { plugin: "following", live: "completed", generation: "running" }[change.what] ?? null;
}

const STATES = { running: "running", paused: "paused", failed: "failed", completed: "completed", cancelled: "cancelled" };

export function Timeline({ p }) {
  const r = p.rebuild;
  const key = [p.name, p.etag];
  const generations = useLoad(() => get(`${projectionPath(p.name)}/generations`), key);
  const acts = useLoad(() => get(withQuery("v1/activity", { projection: p.name, limit: 100 })), [...key, live.activity[0]?.seq]);
  const samples = useLoad(() => get(`${projectionPath(p.name)}/samples`), key);
  const generation = generations.value?.generations.find((one) => one.generation === r.generation);
  if (!generation) return null;

  const from = place(generation.after);
  const here = Math.max(place(r.position), from);
  const filled = r.percentComplete ?? 100;
  const x = (pos) => (here === from ? 0 : Math.min(1, Math.max(0, (place(pos) - from) / (here - from))) * filled);
  // What is being built before its first commit has no range yet: it is the installed plugin that works.
  const built = generation.ranges.length ? generation.ranges : [{ pluginDigest: p.plugin.digest, after: generation.after, through: r.position }];
  const digests = [...new Set(built.map((range) => range.pluginDigest))];
  const ranges = built.map((range, i) => ({ ...range, end: i === built.length - 1 ? r.position : range.through, tone: digests.indexOf(range.pluginDigest) % 4 }));
  const failure = failureOf(p);
  const events = (acts.value?.entries ?? []).filter((entry) => entry.at >= r.startedAt - 1000 && shapeOf(entry, r.generation)).sort((a, b) => b.seq - a.seq);
  const marks = events
    .map((entry) => ({ entry, at: positionAt(samples.value, entry.at), shape: shapeOf(entry, r.generation) }))
    .filter((mark) => mark.at !== null);
  if (failure?.position !== undefined && failure.position !== null) marks.push({ failure, at: failure.position, shape: "failed" });

  return html`<section aria-labelledby="timeline"><h2 id="timeline">From position ${position(generation.after)} to ${position(r.position)}</h2>
    <div class="timeline" role="img" aria-label=${describe(ranges, marks, r)}>
      <div class="track">${ranges.map((range) => html`<span class=${`range tone-${range.tone}`} style=${{ left: `${x(range.after)}%`, width: `${Math.max(0.4, x(range.end) - x(range.after))}%` }}>
        <code>${short(range.pluginDigest).slice(0, 6)}</code></span>`)}</div>
      ${marks.map((mark) => html`<span class=${`pin ${mark.shape}`} style=${{ left: `${x(mark.at)}%` }} title=${titleOf(mark)}>
        <${Shape} name=${mark.shape} /></span>`)}
      <div class="scale"><span>${position(generation.after)}</span><span>${percent(r.percentComplete)}</span></div>
    </div>
    <ul class="legend">${digests.map((digest, i) => html`<li><i class=${`swatch-box tone-${i % 4}`}></i>plugin <code>${short(digest)}</code></li>`)}</ul>
    ${(events.length > 0 || failure) && html`<ol class="history acts">${failure && html`<li><${Shape} name="failed" />
      <span>failed at position ${position(failure.position)}</span>
      <small>${failure.eventId ? html`event <code>${failure.eventId}</code>` : failure.kind}</small></li>`}
      ${events.slice(0, 12).map((entry) => html`<li><${Shape} name=${shapeOf(entry, r.generation)} /><span>${sentence(entry)}</span><small>
        <${Age} time=${entry.at} />${entry.reason ? html` · “${entry.reason}”` : ""}</small></li>`)}</ol>`}
  </section>`;
}

const titleOf = ({ entry, failure, at }) => (failure ? `failed at ${position(at)}` : `${sentence(entry)}, ${moment(entry.at)}, near ${position(at)}`);
const sentence = ({ request, actor: who, change }) => {
  const what = change ? { status: value(change.after), plugin: `plugin ${short(change.after?.digest)}`, live: `generation ${value(change.after)} live`, generation: "started" }[change.what] ?? change.what : request.replaceAll("-", " ");
  return `${what} by ${actor(who)}`;
};

function describe(ranges, marks, r) {
  const parts = ranges.map((range) => `plugin ${short(range.pluginDigest)} from ${position(range.after)} to ${position(range.end)}`);
  return `${count(r.eventsProcessed)} events handled: ${parts.join("; ")}. ${marks.map(titleOf).join(". ")}`;
}

/** Where the rebuild was at a time, as far as the samples reach. */
function positionAt(samples, at) {
  for (const ring of [samples?.fine, samples?.coarse]) {
    const i = ring?.at.findLastIndex((time) => time <= at + ring.step) ?? -1;
    const found = i >= 0 && ring.at[i] > at - 3 * ring.step ? ring.series.position?.[i] : null;
    if (found !== null && found !== undefined) return found;
  }
  return null;
}
