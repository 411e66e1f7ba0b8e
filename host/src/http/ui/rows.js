// The rows of one table: by the beginning of their key, page by page; and why a row is as it is.
import { get, getStored, projectionPath, seg, withQuery } from "./api.js";
import { count, DASH, moment, position } from "./format.js";
import { html, useEffect, useState } from "./html.js";
import { announce, Document, Empty, Filter, ProblemNote, Table, useLoad } from "./parts.js";
import { setQuery } from "./route.js";
import { quoted } from "./format.js";

const PAGE = 50;

/** The answer has documents as text where it keeps to that, and a document in place of it otherwise: both end as text here. */
async function page(p, generation, table, query) {
  const path = withQuery(`${projectionPath(p.name)}/generations/${seg(generation)}/tables/${seg(table)}/rows`, { ...query, limit: PAGE, documents: "text" });
  return get(path);
}

export function Rows({ p, list, query }) {
  const live = list.find((g) => g.role === "live");
  const generation = query.get("g") ?? String((live ?? list[0]).generation);
  const table = query.get("table") ?? p.plugin.tables[0];
  const prefix = query.get("prefix") ?? "";
  const key = query.get("key");
  const first = useLoad(() => page(p, generation, table, { prefix }), [p.name, generation, table, prefix, list]);
  const [more, setMore] = useState({ rows: [], next: null });
  useEffect(() => setMore({ rows: [], next: first.value?.next ?? null }), [first.value]);
  const onward = async () => {
    try {
      const next = await page(p, generation, table, { prefix, after: more.next });
      setMore({ rows: [...more.rows, ...next.rows], next: next.next });
      announce(`${next.rows.length} more rows`);
    } catch (problem) {
      announce(problem.message, "bad");
    }
  };
  const rows = [...(first.value?.rows ?? []), ...more.rows];
  const chosen = rows.find((row) => row.key === key);
  const pick = (name, value, options) => html`<label class="field inline"><span>${name}</span>
    <select value=${value} onChange=${(event) => setQuery({ [name === "Table" ? "table" : "g"]: event.target.value, key: "" })}>
    ${options.map(([id, word]) => html`<option value=${id}>${word}</option>`)}</select></label>`;
  return html`<div class="tools">
    ${pick("Generation", generation, list.map((g) => [String(g.generation), `${g.name ?? g.generation} (${g.role})`]))}${pick("Table", table, p.plugin.tables.map((name) => [name, name]))}
      <${Filter} value=${prefix} onInput=${(prefix) => setQuery({ prefix, key: "" })} label="Keys that begin with" /></div>
    <${ProblemNote} problem=${first.problem} />
    ${first.value && rows.length === 0 && html`<${Empty} title="No row" command=${`unspool model scan ${p.name}/${table}${prefix ? ` --prefix ${quoted(prefix)}` : ""}`}>
      ${prefix ? "No key begins with this; keys are case-sensitive." : "The table is empty in this generation."}<//>`}
    ${rows.length > 0 && html`<div class=${`browser${chosen ? " open" : ""}`}>
      <div class="list"><p class="quiet">Generation ${first.value.generation}, as of position ${position(first.value.position)}</p>
        <div class="scroll" tabindex="0" role="region" aria-label="Rows"><table class="rows">
          <caption class="unseen">Rows of ${p.name}/${table}</caption><thead><tr><th scope="col">Key</th><th scope="col">Document</th></tr></thead>
        <tbody>${rows.map((row) => html`<tr data-row tabindex="-1" class=${row.key === key ? "chosen" : ""} onClick=${() => setQuery({ key: row.key })} onKeyDown=${(event) => event.key === "Enter" && setQuery({ key: row.key })}>
          <th scope="row"><button type="button" class="plain-button" aria-expanded=${row.key === key ? "true" : "false"}>
            <code>${row.key}</code></button></th><td><${Document} text=${row.value} inline /></td></tr>`)}</tbody></table></div>
        <p>${more.next ? html`<button type="button" onClick=${onward}>Show more</button> <small>${count(rows.length)} shown</small>` : html`<small>
          ${count(rows.length)} ${rows.length === 1 ? "row" : "rows"}, that is all</small>`}</p></div>
      ${chosen && html`<${OneRow} key=${`${generation}/${table}/${key}`} p=${p} table=${table} generation=${generation} row=${chosen} />`}</div>`}`;
}

function OneRow({ p, table, generation, row }) {
  const [asked, setAsked] = useState(false);
  const command = `unspool model history ${p.name}/${table} ${quoted(row.key)}`;
  return html`<section class="row-detail" aria-labelledby="row-key"><div class="bar-head"><h2 id="row-key"><code class="break">${row.key}</code></h2>
    <button type="button" class="tiny" aria-label="Close the row" onClick=${() => setQuery({ key: "" })}>Close</button></div>
    <${Document} text=${row.value} label=${`Document of ${row.key}`} />
    <h3>Why is it so?</h3>
    ${asked ? html`<${History} p=${p} path=${`${projectionPath(p.name)}/generations/${seg(generation)}/tables/${seg(table)}/rows/${seg(row.key)}/history`} />`
      : html`<p><button type="button" data-history onClick=${() => setAsked(true)}>Show its history</button></p>
        <p class="quiet">Handles the history again to find the events that changed this row. It takes as long as that takes, and changes nothing: <code>
        ${command}</code>.</p>`}</section>`;
}

function History({ path }) {
  const { value, problem, busy } = useLoad(() => getStored(path), [path]);
  if (busy) return html`<p role="status" class="quiet" aria-busy="true">Handling the history again …</p>`;
  if (problem) return html`<${ProblemNote} problem=${problem} />`;
  return html`<${Table} caption="Every event that changed it, the newest last" head=${[{ name: "Position", number: true }, "Event", "Changed"]}>
    ${value.changes.map((change) => html`<tr><td class="number">${position(change.position)}</td><td><b>${change.type}</b><small>
      <code>${change.id}</code></small><small>${moment(change.timestamp, 23)}</small></td>
      <td>${change.fields.map((field) => html`<${FieldChange} path=${field.field} before=${field.before} after=${field.after} />`)}</td></tr>`)}<//>`;
}

/** `count 1 → 2`; a dot is the document itself. */
export function FieldChange({ path, before, after }) {
  const side = (text, name) => (text === undefined || text === null ? html`<span class="quiet">${DASH}</span>` : html`<${name}>
    <${Document} text=${text} inline /></${name}>`);
  return html`<div class="change">${path === "." || !path ? "" : html`<b>
    <code>${path}</code></b> `}${side(before, "del")}<span class="arrow"> → </span>${side(after, "ins")}</div>`;
}
