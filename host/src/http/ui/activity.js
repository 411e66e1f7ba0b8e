// Who did what, when, from what to what, and why; and, on its second tab, the host.
import { get, withQuery } from "./api.js";
import { actor, count, DASH, kindOf, moment, value } from "./format.js";
import { Host } from "./host.js";
import { html, useEffect, useState } from "./html.js";
import { live } from "./live.js";
import { Age, announce, download, Empty, Filter, ProblemNote, Tabs, useLoad } from "./parts.js";
import { href, setQuery } from "./route.js";
import { Mark } from "./status.js";

const PAGE = 100;
const EXPORTED = 10_000;
const OUTCOMES = { done: ["completed", "good"], refused: ["cancelled", "warn"], failed: ["failed", "bad"] };

export function Activity({ query }) {
  const tab = query.get("tab") === "host" ? "host" : "activity";
  return html`<h1>${tab === "host" ? "Host" : "Activity"}</h1>
    <${Tabs} label="Activity or host" now=${tab} of=${[["activity", "Activity", href("activity")], ["host", "Host", href("activity", null, { tab: "host" })]]} />
    ${tab === "host" ? html`<${Host} query=${query} />` : html`<${Entries} query=${query} />`}`;
}

function Entries({ query }) {
  const filter = { projection: query.get("projection"), actor: query.get("actor") };
  const kind = query.get("kind");
  const key = JSON.stringify(filter);
  // Entries that come with the stream are above; the page is read again for them, so that its filters are the server's.
  const first = useLoad(() => page(filter, null, PAGE), [key, live.activity[0]?.seq]);
  const [more, setMore] = useState({ entries: [], next: null });
  useEffect(() => setMore({ entries: [], next: first.value?.next ?? null }), [first.value]);
  const all = [...(first.value?.entries ?? []), ...more.entries];
  const entries = kind ? all.filter((entry) => kindOf(entry) === kind) : all;
  const onward = async () => {
    try {
      const older = await page(filter, more.next, PAGE);
      setMore({ entries: [...more.entries, ...older.entries], next: older.next });
    } catch (problem) {
      announce(problem.message, "bad");
    }
  };
  const kinds = [...new Set([...all.map(kindOf), kind].filter(Boolean))].sort();
  const command = `unspool activity${filter.projection ? ` ${filter.projection}` : ""}`;
  return html`<div class="tools"><label class="field inline"><span>Projection</span>
    <select value=${filter.projection ?? ""} onChange=${(event) => setQuery({ projection: event.target.value })}>
    <option value="">all</option>${live.projections.map((p) => html`<option value=${p.name}>${p.name}</option>`)}</select></label>
      <label class="field inline"><span>Kind</span><select value=${kind ?? ""} onChange=${(event) => setQuery({ kind: event.target.value })}>
        <option value="">all</option>${kinds.map((kind) => html`<option value=${kind}>${kind.replaceAll("-", " ")}</option>`)}</select></label>
      <${Filter} value=${filter.actor ?? ""} onInput=${(actor) => setQuery({ actor })} label="Actor" placeholder="By the name of an actor" />
      <div class="actions-row"><${Check} /><button type="button" data-export onClick=${() => exportAll(filter, kind)}>Export</button></div></div>
    <${ProblemNote} problem=${first.problem} />
    ${first.value && entries.length === 0 && html`<${Empty} title="Nothing was done yet" command=${command}>
      ${!filter.projection && !filter.actor && !kind ? "Each act of a person, a token or the host itself will be here." : html`Nothing matches these filters. <a href=${href("activity")}>Show all</a>.`}<//>`}
    ${entries.length > 0 && html`<div class="scroll list" tabindex="0" role="region" aria-label="Activity"><table class="activity" role="table">
      <caption class="unseen">Activity, the newest first</caption>
      <thead role="rowgroup"><tr role="row">
        ${["When", "Who", "What", "Projection", "Change", "Outcome"].map((name) => html`<th role="columnheader" scope="col">${name}</th>`)}</tr></thead>
      <tbody role="rowgroup">${entries.map((entry) => html`<${Entry} key=${entry.seq} entry=${entry} />`)}</tbody></table></div>
      <p>${more.next ? html`<button type="button" onClick=${onward}>Show older</button>` : html`<small>
        ${count(entries.length)} entries; that is all</small>`}</p>`}`;
}

/** Entries before one, the newest first, whatever order they come in. */
async function page(filter, before, limit) {
  const { entries, next } = await get(withQuery("v1/activity", { ...filter, before, limit }));
  return { entries: [...entries].sort((a, b) => b.seq - a.seq), next };
}

function Entry({ entry }) {
  const [state, tone] = OUTCOMES[entry.outcome] ?? ["none", "quiet"];
  const given = Object.entries(entry.arguments ?? {}).filter(([, value]) => value !== null && value !== false && value !== "");
  const cell = (label, children) => html`<td role="cell" data-label=${label}>${children}</td>`;
  const { change } = entry;
  return html`<tr role="row" data-row data-name=${entry.projection} tabindex="-1">
    ${cell("When", html`<${Age} time=${entry.at} /><small>#${count(entry.seq)}</small>`)}
    ${cell("Who", html`<b>${actor(entry.actor)}</b>
      <small>${entry.actor.kind === "host" ? "by itself" : `by ${{ cli: "command line", http: "HTTP", ui: "dashboard", host: "host" }[entry.via] ?? entry.via}`}</small>`)}
    ${cell("What", html`<b>${kindOf(entry).replaceAll("-", " ")}</b>${given.length > 0 && html`<small>
      <code class="break">${given.map(([name, v]) => `${name}: ${value(v)}`).join(", ").slice(0, 160)}</code></small>`}`)}
    ${cell("Projection", entry.projection ? html`<a href=${href("rebuild", entry.projection)}>${entry.projection}</a>` : DASH)}
    ${cell("Change", change && value(change.before) !== value(change.after) ? html`${change.what}${change.generation && change.what !== "live" ? ` of generation ${change.generation}` : ""}: <span class="break">
      ${value(change.before)} → ${value(change.after)}</span>` : html`<span class="quiet">${DASH}</span>`)}
    ${cell("Outcome", html`<${Mark} state=${state} tone=${tone} word=${entry.outcome} />${entry.message && html`<small>
      ${entry.message}</small>`}${entry.reason && html`<small>“${entry.reason}”</small>`}`)}
  </tr>`;
}

const isWhole = (check) => check.ok ?? !check.problem;

/** Each entry has the hash of the one before it in its own; the host reads all of them again. */
function Check() {
  const [state, setState] = useState(null);
  const check = async () => {
    setState("busy");
    try {
      setState(await get("v1/activity/check"));
    } catch (problem) {
      setState(null);
      announce(problem.message, "bad");
    }
  };
  return html`<span role="status">
    ${state && state !== "busy" && html`<${Mark} state=${isWhole(state) ? "completed" : "failed"} word=${isWhole(state) ? `chain verified to #${count(state.through ?? state.last)}` : state.problem ?? `chain broken after #${count(state.through ?? state.last)}`} />`}</span>
    <button type="button" data-check onClick=${check} aria-disabled=${state === "busy" ? "true" : undefined}>
      ${state === "busy" ? "Checking …" : "Check the chain"}</button>`;
}

/** What the filters show, whole, as NDJSON: one entry on each line, for other programs. */
async function exportAll(filter, kind) {
  const all = [];
  let before = null;
  try {
    do {
      const older = await page(filter, before, 1000);
      all.push(...older.entries.filter((entry) => !kind || kindOf(entry) === kind));
      before = older.next;
    } while (before && all.length < EXPORTED);
  } catch (problem) {
    return announce(problem.message, "bad");
  }
  download(`activity-${moment(Date.now(), 10).slice(0, 10)}.ndjson`, all.map((entry) => JSON.stringify(entry)).join("\n") + "\n", "application/x-ndjson");
  announce(`${count(all.length)} entries exported${before ? ": the newest; narrow the filters for older ones" : ""}`);
}
