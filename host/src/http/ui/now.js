// What needs somebody? Is it moving, when is it done, is it right?
import { actionOf } from "./actions.js";
import { Bulk } from "./bulk.js";
import { Spark } from "./chart.js";
import { act, ActionButton } from "./dialog.js";
import { age, count, duration, percent, plural } from "./format.js";
import { html, useEffect, useState } from "./html.js";
import { live, pastRates } from "./live.js";
import { Age, announce, Bar, Empty, Filter } from "./parts.js";
import { go, href, setQuery } from "./route.js";
import { limitingStage, Mark, needs, nextAction, pace, stateOf, Trust } from "./status.js";

const NEEDS = [["failed", "Failed", "failed"], ["stalled", "Stalled", "stalled"], ["parked", "With dead letters", "warn"], ["behind", "Behind", "waiting"]];
/** For more than that nobody reads sparklines, and the host is not asked for their past. */
const SPARKS = 12;

export function Now({ query }) {
  const [chosen, setChosen] = useState(new Set());
  const need = query.get("need");
  const text = (query.get("q") ?? "").toLowerCase();
  const all = live.projections;
  const shown = all
    .filter((p) => (!need || needs[need]?.(p)) && (!text || `${p.name} ${stateOf(p)}`.toLowerCase().includes(text)))
    .sort((a, b) => urgency(a) - urgency(b) || a.name.localeCompare(b.name));
  useEffect(() => all.slice(0, SPARKS).forEach((p) => pastRates(p.name)), [all.length]);
  const toggle = (name, on) => setChosen((old) => {
    const next = new Set(old);
    on ? next.add(name) : next.delete(name);
    return next;
  });
  const selected = shown.filter((p) => chosen.has(p.name));

  if (live.loaded && all.length === 0) return html`<h1>Now</h1><${Empty} title="No projection is installed" command="unspool plugin install FILE">
    A projection comes with its plugin, a WebAssembly component. Install one${live.host && actionOf(live.host, "install") ? html` here: <${ActionButton} of=${live.host} name="install" />, or` : ""} on the command line; <code>unspool demo</code> makes three in a fresh directory.<//>`;
  return html`<h1>Now</h1><p class="lede" data-lede>${glance(all)}</p>
    <div class="tiles" role="group" aria-label="What needs somebody">${NEEDS.map(([id, name, shape]) => {
      const n = all.filter(needs[id]).length;
      return html`<button type="button" class=${`tile ${n ? (id === "failed" ? "bad" : "warn") : ""}`} aria-pressed=${need === id ? "true" : "false"} data-need=${id} onClick=${() => setQuery({ need: need === id ? "" : id })}>
        <strong>${n}</strong><${Mark} state=${n ? shape : "none"} word=${name} tone=${n ? (id === "failed" ? "bad" : "warn") : "quiet"} /></button>`;
    })}</div>
    <div class="tools"><${Filter} value=${query.get("q") ?? ""} onInput=${(q) => setQuery({ q })} label="Filter projections" placeholder="Filter by name or state" />
      ${selected.length > 0 && html`<${Bulk} of=${selected} clear=${() => setChosen(new Set())} />`}</div>
    ${shown.length === 0
      ? html`<${Empty} title="Nothing matches">No projection ${need ? "needs this" : "has such a name or state"}. <a href=${href("now")}>Show all ${all.length}</a>.<//>`
      : html`<div class="scroll list" tabindex="0" role="region" aria-label="Projections"><table class="projections" role="table">
        <caption class="unseen">Projections, those that need somebody first</caption>
        <thead role="rowgroup"><tr role="row">
          ${["Select", "Projection", "Progress", "Last 15 min", "Live", "Dead letters", "Verified", "Action"].map((name) => html`<th role="columnheader" scope="col">
          <span class=${name === "Select" || name === "Action" ? "unseen" : ""}>${name}</span></th>`)}</tr></thead>
        <tbody role="rowgroup">${shown.map((p, i) => html`<${Row} key=${p.name} p=${p} isChosen=${chosen.has(p.name)} choose=${(on) => toggle(p.name, on)} sparks=${i < SPARKS} />`)}</tbody></table></div>`}`;
}

const ORDER = ["failed", "stalled", "waiting", "interrupted", "running", "paused"];
const urgency = (p) => (ORDER.indexOf(stateOf(p)) + 1 || (p.deadLetters ? 7 : 8));

/** The answer in two sentences. */
function glance(all) {
  const by = (state) => all.filter((p) => stateOf(p) === state);
  const [running, failed, waiting] = [by("running"), by("failed"), [...by("waiting"), ...by("stalled"), ...by("interrupted")]];
  const left = running.map((p) => p.rebuild.estimatedRemainingMs);
  const done = left.some((ms) => ms === null || ms === undefined) ? "when they are done is not known yet" : `done in ${duration(Math.max(...left))}`;
  const wrong = all.filter((p) => p.lastVerify?.differences);
  const live = all.filter((p) => p.plugin?.liveGeneration);
  const unsure = live.filter((p) => !p.lastVerify);
  const names = (list) => list.slice(0, 3).map((p) => p.name).join(", ") + (list.length > 3 ? ` and ${list.length - 3} more` : "");
  const moving = running.length ? `${running.length === 1 ? `${running[0].name} is` : `${running.length} are`} rebuilding, ${done}.` : "Nothing is being rebuilt.";
  const need = [failed.length && `${names(failed)} failed`, waiting.length && `${names(waiting)} ${waiting.length === 1 ? "stands" : "stand"} still`].filter(Boolean).join("; ");
  const right = wrong.length ? `${names(wrong)} ${wrong.length === 1 ? "differs" : "differ"} from history.` : !live.length ? "Nothing is live yet." : unsure.length ? `${count(live.length - unsure.length)} of ${plural(live.length, "live read model")} verified.` : "All live read models are verified.";
  return `${moving} ${need ? `${need}.` : "Nothing needs you."} ${right}`;
}

function Row({ p, isChosen, choose, sparks }) {
  const state = stateOf(p);
  const r = p.rebuild;
  const stage = limitingStage(p);
  const open = (event) => !event.target.closest("a, button, input, label") && go("rebuild", p.name);
  const cell = (label, children, name = "") => html`<td role="cell" data-label=${label} class=${name}>${children}</td>`;
  return html`<tr role="row" data-row data-name=${p.name} tabindex="-1" onClick=${open} onKeyDown=${(event) => event.key === "Enter" && event.target === event.currentTarget && go("rebuild", p.name)} class=${isChosen ? "chosen" : ""}>
    ${cell("Select", html`<label class="hit"><input type="checkbox" checked=${isChosen} onChange=${(event) => choose(event.target.checked)} />
      <span class="unseen">Select ${p.name}</span></label>`, "pick")}
    <th role="rowheader" scope="row"><a href=${href("rebuild", p.name)}>${p.name}</a><div><${Mark} state=${state} /></div></th>
    ${cell("Progress", html`<div class="progress"><${Bar} percent=${r ? r.percentComplete : 0} state=${state} label=${`Progress of ${p.name}`} />
      <strong>${r ? percent(r.percentComplete) : ""}</strong></div>
      <small>${r ? `${count(r.eventsProcessed)}${r.totalEvents === null ? "" : ` of ${count(r.totalEvents)}`} events` : "never rebuilt"}</small>
        <small>${pace(r)}</small>`, "wide")}
    ${cell("Last 15 min", html`${sparks && html`<${Spark} points=${live.rates.get(p.name) ?? []} label=${`Rate of ${p.name}`} />`}<small>
      ${stage ? html`limited by <b>${stage}</b>` : "\u00a0"}</small>`, "spark-cell")}
    ${cell("Live", p.live ? html`<a href=${href("models", p.name)}>generation ${p.live.generation}</a>
      <small>${isFollowed(p) ? "followed" : html`<${Age} time=${p.live.endedAt ?? p.live.startedAt} />`}</small>` : html`<span class="quiet">none</span>`)}
    ${cell("Dead letters", p.deadLetters ? html`<a href=${href("dead-letters", p.name)}>
      <${Mark} state="warn" tone="warn" word=${count(p.deadLetters)} /></a>` : html`<span class="quiet">0</span>`)}
    ${cell("Verified", html`<${Trust} p=${p} age=${age} />`)}
    ${cell("Action", html`<${ActionButton} of=${p} name=${nextAction(p)} />`, "act")}
  </tr>`;
}

const isFollowed = (p) => p.rebuild?.following === "following" || p.rebuild?.live?.follows;

/** The key `p`: pauses what runs, resumes what does not. */
export function pauseOrResume(name) {
  const p = live.projections.find((p) => p.name === name);
  if (!p) return;
  const action = ["pause", "resume"].map((name) => actionOf(p, name)).find((action) => action?.allowed) ?? actionOf(p, "pause");
  if (action?.allowed) act(p, action);
  else if (action) announce(action.because, "warn");
}
