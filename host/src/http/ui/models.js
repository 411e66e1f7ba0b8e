// Read models: which generations there are, what is in them, how two of them differ, and which one readers get.
import { actionOr } from "./actions.js";
import { get, projectionPath, seg } from "./api.js";
import { ActionButton } from "./dialog.js";
import { Diff } from "./diff.js";
import { age, at, count, DASH, duration, moment, position, short } from "./format.js";
import { html } from "./html.js";
import { projection } from "./live.js";
import { Age, Empty, Note, ProblemNote, Tabs, useLoad } from "./parts.js";
import { Choose, Head } from "./rebuild.js";
import { Receipt } from "./receipt.js";
import { href } from "./route.js";
import { Rows } from "./rows.js";
import { Mark, Trust } from "./status.js";

const VIEWS = [["generations", "Generations"], ["rows", "Rows"], ["diff", "Differences"]];

export function Models({ name, query }) {
  const p = projection(name);
  const generations = useLoad(() => (p ? get(`${projectionPath(name)}/generations`) : Promise.resolve(null)), [name, p?.etag]);
  if (!p) return html`<h1>Read models</h1><${Choose} screen="models" missing=${name} />`;
  const view = query.get("view") ?? "generations";
  const list = generations.value?.generations;
  if (view === "receipt") return html`<${Receipt} p=${p} generation=${query.get("g") ?? "live"} />`;
  return html`<${Head} p=${p} title="Read model" screen="models" />
    <${Tabs} label="Views of the read model" now=${view} of=${VIEWS.map(([id, word]) => [id, word, href("models", name, { view: id === "generations" ? "" : id })])} />
    <${ProblemNote} problem=${generations.problem} />
    ${!list ? html`<p class="quiet" aria-busy="true">
      ${generations.busy ? "Reading …" : ""}</p>` : list.length === 0 ? html`<${Empty} title="There is no generation yet" command=${`unspool rebuild ${name}`}>A rebuild makes one.<//>`
      : view === "rows" ? html`<${Rows} p=${p} list=${list} query=${query} />` : view === "diff" ? html`<${Diff} p=${p} list=${list} query=${query} />` : html`<${Generations} p=${p} list=${list} again=${generations.again} />`}`;
}

const ROLES = { live: ["following", "good"], previous: ["none", "quiet"], complete: ["completed", "accent"], building: ["running", "accent"], "given-up": ["cancelled", "quiet"], "as-of": ["waiting", "quiet"], scratch: ["none", "quiet"] };
const ROLE_ORDER = ["live", "previous", "complete", "building", "as-of", "given-up", "scratch"];

/** A generation as requests name it. */
const chosen = (g) => (g ? { generation: String(g.generation) } : {});

/** Generations as columns: what is to be compared stands side by side. */
function Generations({ p, list, again }) {
  const shown = [...list].sort((a, b) => ROLE_ORDER.indexOf(a.role) - ROLE_ORDER.indexOf(b.role) || b.generation - a.generation);
  const receipts = useLoad(() => Promise.all(shown.map((g) => get(`${projectionPath(p.name)}/generations/${g.generation}`).catch(() => null))), [p.name, list]);
  const receipt = (i) => receipts.value?.[i];
  const live = shown.find((g) => g.role === "live");
  // The list is read when states change; what is being built moves on in between.
  const now = (g) => (p.rebuild?.generation === g.generation ? p.rebuild : null);
  const digestOf = (i) => receipt(i)?.digest;
  const liveDigest = live && digestOf(shown.indexOf(live));
  const row = (name, value) => html`<tr><th scope="row">${name}</th>${shown.map((g, i) => html`<td>${value(g, i) ?? DASH}</td>`)}</tr>`;
  return html`<div class="bar-head">
    <p class="lede">${live ? html`Readers get generation ${live.generation}.` : "Readers get nothing yet: no generation is live."}</p>
      <div class="actions-row"><${ActionButton} of=${p} name="verify" />
        <${ActionButton} of=${p} name="promote" quiet body=${chosen(shown.find((g) => g.role === "complete"))} /><${ActionButton} of=${p} name="rollback" />
      <${ActionButton} of=${p} action=${actionOr(p, "as-of", "POST", "as-of", `unspool model as-of ${p.name}`)} quiet after=${again} /></div></div>
    <div class="scroll" tabindex="0" role="region" aria-label="Generations"><table class="generations"><caption class="unseen">Generations side by side</caption>
      <thead><tr><td></td>${shown.map((g) => html`<th scope="col" class=${g.role}><span class="gen">${g.name ?? `Generation ${g.generation}`}</span>
        <${Mark} state=${ROLES[g.role]?.[0]} tone=${ROLES[g.role]?.[1]} word=${g.role.replace("-", " ")} /></th>`)}</tr></thead>
      <tbody>
        ${row("State", (g) => html`<${Mark} state=${g.status} />`)}
        ${row("Rows", (g, i) => count(receipt(i)?.rows))}
        ${row("Digest", (g, i) => digestOf(i) && html`<code>${short(digestOf(i))}</code>${liveDigest && g !== live ? html`<small>
          ${digestOf(i) === liveDigest ? "the same rows as live" : "other rows than live"}</small>` : ""}`)}
        ${row("Events", (g) => count(now(g)?.eventsProcessed ?? g.eventsProcessed))}
        ${row("Dead letters", (g) => (g.parked ? html`<${Mark} state="warn" tone="warn" word=${count(g.parked)} />` : "0"))}
        ${row("Positions", (g) => `${position(g.after)} to ${position(now(g)?.position ?? g.position)}`)}
        ${row("Source", (g) => g.source)}
        ${row("Rows are in", (g) => g.into ?? "the store")}
        ${row("Plugins", (g) => html`${g.ranges.map((range) => html`<span class="line">
          <code>${short(range.pluginDigest)}</code>${g.ranges.length > 1 ? html` <small>to ${position(range.through)}</small>` : ""}</span>`)}`)}
        ${row("Built", (g) => html`<${Age} time=${g.startedAt} />${g.endedAt ? html`<small>in ${duration(g.endedAt - g.startedAt)}</small>` : ""}`)}
        ${row("Verified", (g) => (p.lastVerify?.generation === g.generation ? html`<${Trust} p=${{ ...p, live: g }} age=${age} />` : html`<span class="quiet">${DASH}</span>`))}
        <tr class="do"><th scope="row">Look at it</th>${shown.map((g) => html`<td>
          <a href=${href("models", p.name, { view: "rows", g: g.generation })}>Rows</a>
          <a href=${href("models", p.name, { view: "receipt", g: g.generation })}>Receipt</a>
          ${live && g !== live ? html`<a href=${href("models", p.name, { view: "diff", left: live.generation, right: g.generation })}>Differences from live</a>` : ""}</td>`)}</tr>
        <tr class="do"><th scope="row">Change</th>${shown.map((g) => html`<td>
          ${g.role === "complete" ? html`<${ActionButton} of=${p} name="promote" body=${chosen(g)} />` : g.role === "previous" ? html`<${ActionButton} of=${p} name="rollback" />` : g.role === "live" ? html`<span class="quiet">readers get it</span>` : g.role === "building" ? html`<a href=${href("rebuild", p.name)}>its rebuild</a>` : ""}
          ${!["live", "building"].includes(g.role) ? html`<${ActionButton} of=${p} action=${actionOr(p, "drop", "DELETE", `generations/${seg(g.name ?? g.generation)}`, `unspool model drop ${p.name}`)} body=${{ generation: g.name ?? g.generation }} path=${`${projectionPath(p.name)}/generations/${seg(g.name ?? g.generation)}`} after=${again} />` : ""}</td>`)}</tr>
      </tbody></table></div>
    <${Note}><p>${p.lastVerify ? html`Last verified ${moment(at(p.lastVerify.at))}: generation ${p.lastVerify.generation}, ${count(p.lastVerify.differences)} differences.` : "Nobody has verified the live generation yet: Verify rebuilds it beside readers and compares row by row."}</p><//>`;
}
