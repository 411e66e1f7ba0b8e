// One projection: where its rebuild is, how it got there, what holds it up, and what can be done.
import { get, projectionPath } from "./api.js";
import { Chart } from "./chart.js";
import { ActionButton } from "./dialog.js";
import { Failure } from "./failure.js";
import { age, bytes, count, duration, percent, position, short } from "./format.js";
import { html, useEffect, useState } from "./html.js";
import { live, projection } from "./live.js";
import { Age, Bar, Empty, Facts, Next, Note, ProblemNote, useLoad } from "./parts.js";
import { href, setQuery } from "./route.js";
import { Stages } from "./results.js";
import { failureOf, limitingStage, Mark, nextAction, pace, stateOf, Trust } from "./status.js";
import { Timeline } from "./timeline.js";

const OFFERED = ["rebuild", "pause", "resume", "cancel", "catch-up", "follow", "unfollow", "verify", "promote", "rollback", "swap"];
const SAMPLES_MS = 3000;

export function Rebuild({ name, query, theme }) {
  const p = projection(name);
  if (!p) return html`<h1>Rebuild</h1><${Choose} screen="rebuild" missing=${name} />`;
  const r = p.rebuild;
  const failure = failureOf(p);
  return html`<${Head} p=${p} title="Rebuild" screen="rebuild" />
    <div class="columns"><div class="stack">
      ${r ? html`<${Numbers} p=${p} />` : html`<${Empty} title="It has never been rebuilt" command=${`unspool rebuild ${name}`}>A rebuild fills its tables from the event history.<//>`}
      ${r?.waiting && html`<${Note} tone="warn"><p>
        <strong>Waits for ${r.waiting.kind === "store" ? "the database with its rows" : `its ${r.waiting.kind}`}</strong>, for ${duration(r.waiting.ms)}, ${count(r.waiting.tries)} tries. ${r.waiting.error}</p><//>`}
      ${r?.staleSince && html`<${Note} tone="warn"><p><strong>Stale since <${Age} time=${r.staleSince} />.</strong> New events are not handled.</p><//>`}
      ${r && !failure && r.next && html`<${Note}><${Next} text=${r.next} /><//>`}
      ${failure && html`<${Failure} p=${p} failure=${failure} />`}
      ${r && html`<${Timeline} p=${p} />`}
      <${Charts} p=${p} span=${query.get("span") === "coarse" ? "coarse" : "fine"} theme=${theme} />
      ${r && html`<section aria-labelledby="stages"><h2 id="stages">Stages of the whole run</h2><${Stages} of=${r.stages} /></section>`}
    </div>
    <aside class="stack" aria-label="Actions and facts">
      <section aria-labelledby="actions"><h2 id="actions">Actions</h2>
        <div class="actions">${OFFERED.map((name) => html`<${ActionButton} of=${p} name=${name} explain quiet=${name !== nextAction(p)} />`)}</div></section>
      <section aria-labelledby="facts"><h2 id="facts">Facts</h2><${Facts} of=${[
        ["Checkpoint", r && html`<code>${r.checkpointId}</code>`], ["Source", r?.source], ["Last event", r?.lastEventId && html`<code class="break">
          ${r.lastEventId}</code>`],
        ["Started", r && html`<${Age} time=${r.startedAt} />`], ["Retries", r && count(r.retries)],
        ["Live generation", p.live && html`<a href=${href("models", name)}>${p.live.generation}</a>, position ${position(p.live.position)}`],
        ["Verified", html`<${Trust} p=${p} age=${age} />`], ["Dead letters", html`<a href=${href("dead-letters", name)}>${count(p.deadLetters)}</a>`],
        ["Tables", p.plugin.tables.join(", ")], ["Partitioned", p.plugin.partitioning === "stream" ? "by stream" : "no"],
      ]} /></section>
      <${Installs} p=${p} />
    </aside></div>`;
}

/** Which projection a screen is about. */
export function Head({ p, title, screen }) {
  return html`<div class="head"><h1><span class="eyebrow">${title}</span>${p.name}</h1><${Mark} state=${stateOf(p)} />
    <label class="switcher"><span class="unseen">Projection</span>
      <select value=${p.name} onChange=${(event) => (location.hash = href(screen, event.target.value))}>
      ${live.projections.map((one) => html`<option value=${one.name}>${one.name}</option>`)}</select></label></div>`;
}

export function Choose({ screen, missing }) {
  if (live.projections.length === 0) return html`<${Empty} title="No projection is installed" command="unspool plugin install FILE">A projection comes with its plugin.<//>`;
  return html`${missing && html`<${Note} tone="warn"><p>There is no projection ${missing}.</p><//>`}<p class="lede">Which one?</p>
    <ul class="choices">${live.projections.map((p) => html`<li data-row data-name=${p.name} tabindex="-1">
    <a href=${href(screen, p.name)}>${p.name}</a><${Mark} state=${stateOf(p)} />
    <small>${screen === "dead-letters" ? count(p.deadLetters) + " dead letters" : pace(p.rebuild)}</small></li>`)}</ul>`;
}

function Numbers({ p }) {
  const r = p.rebuild;
  const stage = limitingStage(p);
  const left = r.status === "running" ? (r.estimatedRemainingMs === null ? "not known" : duration(r.estimatedRemainingMs)) : null;
  const big = (name, value, more) => html`<div><dt>${name}</dt><dd>${value}</dd><dd class="more">${more ?? "\u00a0"}</dd></div>`;
  return html`<section class="numbers" aria-label="Progress"><${Bar} percent=${r.percentComplete} state=${stateOf(p)} label="Progress" /><dl>
    ${big("Complete", percent(r.percentComplete), r.totalEvents === null ? `${count(r.eventsProcessed)} events` : `${count(r.eventsProcessed)} of ${count(r.totalEvents)} events`)}
    ${big("Events per second", r.eventsPerSecond < 10 ? Number(r.eventsPerSecond.toFixed(1)) : count(Math.round(r.eventsPerSecond)), r.status === "running" ? (stage ? html`limited by <b>
      ${stage}</b>` : "") : r.status === "completed" ? "of the whole run" : "")}
    ${left ? big("Time left", left, r.estimatedRemainingMs === null ? pace(r).split(" · ")[1] : "") : big("State", r.status, pace(r))}
    ${big("Position", position(r.position), r.follow?.events ? `${count(r.follow.events)} events behind` : `generation ${r.generation}`)}
  </dl></section>`;
}

/** Rate, stages, commit and memory over the last quarter of an hour, or day; what was before the page was opened, too. */
function Charts({ p, span, theme }) {
  const [samples, setSamples] = useState(null);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    let current = true;
    const load = () => live.light === "live" && get(`${projectionPath(p.name)}/samples`).then((all) => current && (setSamples(all), setProblem(null)), (why) => current && setProblem(why));
    load();
    const timer = setInterval(load, SAMPLES_MS);
    return () => {
      current = false;
      clearInterval(timer);
    };
  }, [p.name]);
  const of = samples?.[span];
  const series = (name) => of.series[name] ?? of.at.map(() => null);
  const line = (name, key, tone, dash) => ({ name, values: series(key), tone, dash });
  const has = of?.at.length > 1 && ["eventsPerSecond", "handleWorkMs", "commitMs", "memoryBytes"].some((key) => of.series[key]?.some((value) => value !== null));
  const ms = (value) => `${count(value)} ms`;
  return html`<section aria-labelledby="charts"><div class="bar-head"><h2 id="charts">Throughput</h2>
      <div class="segments" role="group" aria-label="How far back">
        ${[["fine", "15 min"], ["coarse", "24 h"]].map(([id, name]) => html`<button type="button" aria-pressed=${span === id ? "true" : "false"} onClick=${() => setQuery({ span: id === "fine" ? "" : id })}>
        ${name}</button>`)}</div></div>
    ${problem && !of && html`<${ProblemNote} problem=${problem} />`}
    ${of && !has && html`<p class="quiet">Nothing has run in the last ${span === "fine" ? "15 minutes" : "24 hours"}.</p>`}
    ${has && html`<div class="charts">
      <${Chart} key=${`rate-${span}`} title="Events per second" at=${of.at} series=${[line("rate", "eventsPerSecond", "--accent")]} format=${(v) => count(Math.round(v))} theme=${theme} />
      <${Chart} key=${`stages-${span}`} title="Stages, ms of each second" at=${of.at} format=${ms} theme=${theme} series=${[line("read", "readWorkMs", "--chart-2"), line("handle", "handleWorkMs", "--accent"), line("commit", "commitWorkMs", "--chart-3"), line("handle waits", "handleWaitMs", "--quiet", [4, 3])]} />
      <${Chart} key=${`commit-${span}`} title="Time of a commit" at=${of.at} series=${[line("commit", "commitMs", "--chart-3")]} format=${ms} theme=${theme} />
      <${Chart} key=${`memory-${span}`} title="Memory of the plugin" at=${of.at} series=${[line("memory", "memoryBytes", "--chart-2")]} format=${bytes} theme=${theme} />
    </div>`}</section>`;
}

function Installs({ p }) {
  const { value } = useLoad(() => get(`${projectionPath(p.name)}/plugins`), [p.name, p.plugin.digest]);
  return html`<section aria-labelledby="plugins"><h2 id="plugins">Plugin</h2>
    <${Facts} of=${[["Digest", html`<code>${short(p.plugin.digest)}</code>`], ["Version", p.plugin.version]]} />
    ${value && html`<ol class="history" reversed>${[...value.installs].sort((a, b) => b.at - a.at).map((install) => html`<li>
      <code>${short(install.digest)}</code> <span>${install.how}</span> <small><${Age} time=${install.at} /></small></li>`)}</ol>`}</section>`;
}
