// How a generation was built, as one page to print and file.
import { get, projectionPath, seg } from "./api.js";
import { count, duration, moment, position, words } from "./format.js";
import { html } from "./html.js";
import { live } from "./live.js";
import { Facts, ProblemNote, Table, useLoad } from "./parts.js";
import { Stages } from "./results.js";
import { href } from "./route.js";

export function Receipt({ p, generation }) {
  const { value: r, problem } = useLoad(() => get(`${projectionPath(p.name)}/generations/${seg(generation)}`), [p.name, generation, p.etag]);
  const tools = html`<div class="tools no-print"><a href=${href("models", p.name)}>All generations</a>
    <button type="button" onClick=${() => window.print()}>Print</button></div>`;
  if (problem) return html`<h1>Receipt</h1>${tools}<${ProblemNote} problem=${problem} />`;
  if (!r) return html`<h1>Receipt</h1><p class="quiet" aria-busy="true">Reading …</p>`;
  const { events } = r;
  return html`${tools}<article class="receipt"><header><p class="eyebrow">Receipt of a read model</p>
    <h1>${r.projectionName}, generation ${r.generation}${r.name ? ` (${r.name})` : ""}</h1>
      <p class="quiet">Host ${live.host?.name}, Unspool ${live.host?.version}; read ${moment(Date.now())}</p></header>
    <section aria-labelledby="what"><h2 id="what">What it is</h2><${Facts} of=${[
      ["State", r.status], ["Built for", r.purpose], ["Rows", count(r.rows)], ["Digest", r.digest ? html`<code class="break">
        ${r.digest}</code>` : "not complete"], ["State version", r.stateVersion], ["Rows are in", r.into ?? "the store"],
    ]} /></section>
    <section aria-labelledby="from"><h2 id="from">What it was built from</h2><${Facts} of=${[
      ["Source", r.source], ["History", html`<code class="break">
        ${r.sourceIdentity}</code>`], ["Positions", `after ${position(r.after)} through ${position(r.through)}`],
    ]} />
    <${Table} caption="What became of the events" hidden=${false} head=${["Events", { name: "Count", number: true }]}>
      ${["matching", "handled", "parked", "discarded", "missing", "filtered"].map((name) => html`<tr><th scope="row">${name}</th>
      <td class="number">${count(events[name])}</td></tr>`)}
      ${Object.entries(events.leftOut ?? {}).map(([why, n]) => html`<tr><th scope="row">left out: ${words(why)}</th>
        <td class="number">${count(n)}</td></tr>`)}<//></section>
    <section aria-labelledby="by"><h2 id="by">What it was built by</h2>
    <${Table} caption="Which plugin built which part" hidden=${false} head=${["Plugin", { name: "After", number: true }, { name: "Through", number: true }, { name: "Chunk size", number: true }]}>
      ${r.ranges.map((range) => html`<tr><th scope="row"><code class="break">${range.pluginDigest}</code></th>
      <td class="number">${position(range.after)}</td><td class="number">${position(range.through)}</td>
      <td class="number">${count(range.chunkSize)}</td></tr>`)}<//></section>
    <section aria-labelledby="when"><h2 id="when">When</h2>
      <${Facts} of=${[["Started", moment(r.startedAt)], ["Ended", moment(r.endedAt)], ["Took", r.endedAt ? duration(r.endedAt - r.startedAt) : null], ["Retries", count(r.retries)]]} />
    <${Stages} of=${r.stages} /></section>
    ${p.lastVerify?.generation === r.generation && html`<section aria-labelledby="verified"><h2 id="verified">Verified</h2>
      <p>${moment(p.lastVerify.at)}: ${p.lastVerify.differences === 0 ? "exact, row by row" : `${count(p.lastVerify.differences)} differences`}.</p></section>`}
    <p class="quiet"><code>unspool model receipt ${r.projectionName} --generation ${r.generation}</code></p></article>`;
}
