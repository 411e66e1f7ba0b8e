// The same action for several projections: those for which it is allowed, one after the other; the others with their reason.
import { actionOf, labelOf } from "./actions.js";
import { send } from "./api.js";
import { Modal } from "./dialog.js";
import { plural } from "./format.js";
import { html, useState } from "./html.js";
import { refresh } from "./live.js";
import { Command } from "./parts.js";
import { Mark } from "./status.js";

const OFFERED = ["pause", "resume", "rebuild", "verify"];

export function Bulk({ of, clear }) {
  const [name, setName] = useState(null);
  return html`<div class="bulk" role="group" aria-label="With the selected projections"><span>${plural(of.length, "projection")} selected</span>
    ${OFFERED.map((name) => html`<button type="button" data-bulk=${name} onClick=${() => setName(name)}>
      ${labelOf(name)} ${of.filter((p) => actionOf(p, name)?.allowed).length}</button>`)}
    <button type="button" class="tiny" onClick=${clear}>Clear</button>
    ${name && html`<${BulkDialog} name=${name} of=${of} onClose=${() => setName(null)} />`}</div>`;
}

function BulkDialog({ name, of, onClose }) {
  // What is confirmed is what was shown: states that change meanwhile are the server's to refuse, by the etag.
  const [able] = useState(of.filter((p) => actionOf(p, name)?.allowed));
  const not = of.filter((p) => !able.some((one) => one.name === p.name));
  const [reason, setReason] = useState("");
  const [outcome, setOutcome] = useState({});
  const [state, setState] = useState("asking");
  const confirm = async (event) => {
    event.preventDefault();
    if (state !== "asking" || !able.length) return;
    setState("working");
    for (const p of able) {
      const action = actionOf(p, name);
      setOutcome((old) => ({ ...old, [p.name]: "working" }));
      try {
        await send(action.method, action.path, { etag: p.etag, reason });
        setOutcome((old) => ({ ...old, [p.name]: "done" }));
      } catch (problem) {
        setOutcome((old) => ({ ...old, [p.name]: problem.message }));
      }
      refresh(p.name).catch(() => {});
    }
    setState("done");
  };
  const said = (p) => {
    const what = outcome[p.name];
    if (!what) return "";
    if (what === "working") return html`<${Mark} state="running" word="working" />`;
    return html`<${Mark} state=${what === "done" ? "completed" : "failed"} word=${what} />`;
  };
  return html`<${Modal} title=${`${labelOf(name)} ${plural(able.length, "projection")}`} onClose=${onClose}><form class="stack" onSubmit=${confirm}>
    ${able.length > 0 && html`<ul class="plainlist">${able.map((p) => html`<li><strong>${p.name}</strong> ${said(p)}</li>`)}</ul>`}
    ${not.length > 0 && html`<div><h3>Not with</h3><ul class="plainlist">${not.map((p) => html`<li>
      <strong>${p.name}</strong> <span class="quiet">${actionOf(p, name)?.because ?? "not possible"}</span></li>`)}</ul></div>`}
    ${able.length > 0 && html`<div class="field"><span>The same on the command line</span>
      <${Command} line=${able.map((p) => actionOf(p, name).command).join("; ")} /></div>
    <label class="field"><span>Reason (for the record, optional)</span>
      <input name="reason" value=${reason} onInput=${(event) => setReason(event.target.value)} maxlength="300" autocomplete="off" /></label>`}
    <footer>${state === "done" || !able.length
      ? html`<button type="button" class="primary" onClick=${onClose}>Close</button>`
      : html`<button type="button" onClick=${onClose}>Keep as it is</button>
        <button type="submit" class="primary" aria-disabled=${state === "working" ? "true" : undefined} data-confirm>${labelOf(name)}</button>`}</footer>
  </form><//>`;
}
