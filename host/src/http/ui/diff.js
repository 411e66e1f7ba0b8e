// How two generations differ, row by row and field by field: the evidence for a promotion, beside its button.
import { actionOf } from "./actions.js";
import { get, projectionPath, withQuery } from "./api.js";
import { ActionButton } from "./dialog.js";
import { count, plural } from "./format.js";
import { html, useEffect, useState } from "./html.js";
import { announce, Empty, Filter, ProblemNote, useLoad } from "./parts.js";
import { setQuery } from "./route.js";
import { FieldChange } from "./rows.js";
import { Mark } from "./status.js";

const PAGE = 100;
const CHANGES = { added: ["completed", "good", "added"], removed: ["cancelled", "bad", "removed"], changed: ["warn", "warn", "changed"] };

export function Diff({ p, list, query }) {
  const live = list.find((g) => g.role === "live");
  const newest = list.filter((g) => g !== live).sort((a, b) => b.generation - a.generation)[0];
  const left = query.get("left") ?? String((live ?? list[0]).generation);
  const right = query.get("right") ?? String((newest ?? list[0]).generation);
  const table = query.get("table") ?? "";
  const field = (query.get("field") ?? "").toLowerCase();
  const path = (after) => withQuery(`${projectionPath(p.name)}/diff`, { left, right, table, after, limit: PAGE, documents: "text" });
  const first = useLoad(() => (left === right ? Promise.resolve(null) : get(path())), [p.name, p.etag, left, right, table]);
  const [more, setMore] = useState({ rows: [], next: null });
  useEffect(() => setMore({ rows: [], next: first.value?.next ?? null }), [first.value]);
  const onward = async () => {
    try {
      const next = await get(path(more.next));
      setMore({ rows: [...more.rows, ...next.rows], next: next.next });
    } catch (problem) {
      announce(problem.message, "bad");
    }
  };
  const all = [...(first.value?.rows ?? []), ...more.rows];
  const matches = (f) => f.path.toLowerCase().includes(field);
  const rows = field ? all.filter((row) => row.fields.some(matches)).map((row) => ({ ...row, fields: row.fields.filter(matches) })) : all;
  const counts = first.value?.counts;
  const pick = (name, value) => html`<label class="field inline"><span>${name === "left" ? "From" : "To"}</span>
    <select value=${value} onChange=${(event) => setQuery({ [name]: event.target.value })}>
    ${list.map((g) => html`<option value=${String(g.generation)}>${g.name ?? g.generation} (${g.role})</option>`)}</select></label>`;
  const target = list.find((g) => String(g.generation) === right);
  return html`<div class="tools">${pick("left", left)}${pick("right", right)}
      <label class="field inline"><span>Table</span><select value=${table} onChange=${(event) => setQuery({ table: event.target.value })}>
        <option value="">all</option>${p.plugin.tables.map((name) => html`<option value=${name}>${name}</option>`)}</select></label>
      <${Filter} value=${query.get("field") ?? ""} onInput=${(field) => setQuery({ field })} label="Only fields named like" placeholder="Only fields like cents" />
      ${target && target.role !== "live" && html`<div class="actions-row">
        <${ActionButton} of=${p} name=${target.role === "previous" && actionOf(p, "rollback") ? "rollback" : "promote"} body=${target.role === "previous" ? {} : { generation: String(target.generation) }} /></div>`}</div>
    ${left === right && html`<${Empty} title="Choose two generations" command=${`unspool rebuild ${p.name} --no-promote`}>
      ${list.length < 2 ? "There is only one. Another rebuild makes the next, and leaves this one live." : "A generation does not differ from itself."}<//>`}
    <${ProblemNote} problem=${first.problem} />
    ${first.busy && left !== right && html`<p class="quiet" role="status" aria-busy="true">Comparing …</p>`}
    ${counts && html`<dl class="counts">${["added", "removed", "changed", "same"].map((name) => html`<div>
      <dt>${name in CHANGES ? html`<${Mark} state=${CHANGES[name][0]} tone=${counts[name] ? CHANGES[name][1] : "quiet"} word=${name} />` : html`<${Mark} state="none" word="the same" />`}</dt>
      <dd>${count(counts[name])}</dd></div>`)}</dl>`}
    ${first.value && all.length === 0 && html`<${Empty} title="No difference">Both generations have the same rows${table ? ` in ${table}` : ""}.<//>`}
    ${all.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="Rows that differ"><table class="diff">
      <caption class="unseen">Rows that differ between generation ${left} and ${right}</caption>
      <thead><tr><th scope="col">Row</th><th scope="col">What</th><th scope="col">Fields</th></tr></thead>
      <tbody>${rows.map((row) => html`<tr data-row tabindex="-1"><th scope="row"><small>${row.table}</small><code class="break">${row.key}</code></th>
        <td><${Mark} state=${CHANGES[row.change]?.[0]} tone=${CHANGES[row.change]?.[1]} word=${row.change} /></td>
        <td class=${row.change === "changed" ? "" : "flow"}>
          ${row.fields.map((f) => html`<${FieldChange} path=${f.path} before=${f.left} after=${f.right} />`)}</td></tr>`)}</tbody></table></div>
      <p>${more.next ? html`<button type="button" onClick=${onward}>Show more</button> ` : ""}<small>
        ${plural(rows.length, "row")} shown${field ? `, of ${count(all.length)} that were read` : ""}${more.next ? "" : "; that is all"}</small></p>`}`;
}
