// The one way in which anything is changed: what it does, the server's plan, the command that does the same, a reason, and a confirmation.
import { ACTIONS, actionOf, commandLine, labelOf } from "./actions.js";
import { Problem, send, workOf } from "./api.js";
import { actor, age, bytes, count } from "./format.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { live, refresh } from "./live.js";
import { announce, Bar, Command, Facts, Note, ProblemNote } from "./parts.js";
import { Result } from "./results.js";

/** Opens the dialog of an action. `of` is a projection or the host; `body` what is filled in already. */
export function act(of, action, { body = {}, path, file, after } = {}) {
  dispatchEvent(new CustomEvent("act", { detail: { of, action, body, path, file, after, id: Math.random() } }));
}

let buttons = 0;

/** A button for an action. Where it is not allowed it stays, can be reached, and says why. */
export function ActionButton({ of, name, action = actionOf(of, name), label, body, path, after, quiet, explain = false }) {
  const id = useRef(null);
  id.current ??= `why-${++buttons}`;
  if (!action) return null;
  const lost = live.light === "lost";
  const because = lost ? "The host does not answer." : action.allowed ? null : action.because ?? "Not possible now.";
  const press = (event) => {
    event.stopPropagation();
    if (because) announce(because, "warn");
    else act(of, action, { body, path, after });
  };
  const isMain = (ACTIONS[action.name]?.primary || quiet === false) && !quiet && !because;
  return html`<span class=${`action${explain ? " explained" : ""}`}>
    <button type="button" class=${isMain ? "primary" : ACTIONS[action.name]?.typed ? "danger" : ""} aria-disabled=${because ? "true" : undefined} aria-describedby=${because ? id.current : undefined} data-action=${action.name} onClick=${press}>
      ${label ?? labelOf(action.name)}</button>
    ${because && html`<span id=${id.current} class=${explain ? "why" : "tip"} role=${explain ? undefined : "tooltip"}>${because}</span>`}
  </span>`;
}

/** A modal dialog. The browser keeps the focus in it and gives it back. */
export function Modal({ title, onClose, children, wide }) {
  const dialog = useRef(null);
  useEffect(() => {
    const element = dialog.current;
    if (!element.open) element.showModal();
  }, []);
  return html`<dialog ref=${dialog} class=${wide ? "wide" : ""} aria-labelledby="dialog-title" onClose=${onClose} onCancel=${(event) => event.target === dialog.current && event.stopPropagation()}>
    <header><h2 id="dialog-title">${title}</h2><button type="button" class="tiny" onClick=${() => dialog.current.close()}>Close</button></header>
    ${children}
  </dialog>`;
}

/** Where the dialogs of the page are. */
export function Dialogs() {
  const [open, setOpen] = useState(null);
  useEffect(() => {
    const listener = (event) => setOpen(event.detail);
    addEventListener("act", listener);
    return () => removeEventListener("act", listener);
  }, []);
  return open && html`<${ActionDialog} key=${open.id} ...${open} onClose=${() => setOpen(null)} />`;
}

function ActionDialog({ of, action, body: given, path, file: chosen, after, onClose }) {
  const kind = ACTIONS[action.name] ?? { says: () => "" };
  const [body, setBody] = useState(given);
  const [file, setFile] = useState(chosen ?? null);
  const [reason, setReason] = useState("");
  const [typed, setTyped] = useState("");
  const [state, setState] = useState({ at: "asking" });
  const stop = useRef(new AbortController());
  const name = of.name;
  // What the operator looks at is what is to be changed: its etag is that of the moment at which the dialog was opened.
  const [etag, setEtag] = useState(of.etag);
  const line = commandLine(action, body, file);
  const lacks = missing(kind, { body, file, typed, reason, name });
  const busy = state.at === "working";

  const confirm = async (event) => {
    event.preventDefault();
    if (lacks || busy) return;
    setState({ at: "working", work: null });
    const target = (path ?? action.path).replace("{g}", encodeURIComponent(body.generation ?? ""));
    try {
      const onRow = (row) => setState((old) => (old.at === "working" ? { at: "working", work: workOf(row) ?? old.work } : old));
      const result = await send(action.method, target, { body: kind.file ? file : clean(body), etag, reason, onRow, signal: stop.current.signal });
      if (of.etag) refresh(name).catch(() => {});
      after?.(result);
      announce(`${kind.label ?? action.name}: done${name && of.etag ? `, ${name}` : ""}`);
      // What has something to tell stays open until it was read.
      if (kind.long || kind.file) setState({ at: "done", result });
      else onClose();
    } catch (problem) {
      if (problem.name === "AbortError") return onClose();
      if (problem.status === 412 && of.etag) refresh(name).then((fresh) => setEtag(fresh.etag), () => {});
      setState({ at: "asking", problem: problem instanceof Problem ? problem : new Problem({ title: "The page failed", detail: String(problem) }) });
    }
  };

  return html`<${Modal} title=${of.etag ? `${kind.title ?? kind.label ?? action.name} ${name}` : kind.label ?? action.name} onClose=${() => { stop.current.abort(); onClose(); }}>
    <form class="stack" onSubmit=${confirm} data-dialog=${action.name}>
      ${live.host?.production && html`<${Note} tone="bad"><strong>Production.</strong> This is ${live.host.name}.<//>`}
      <p>${kind.says(of, body)}</p>
      ${state.at !== "done" && kind.fields && html`<${Fields} fields=${kind.fields} body=${body} onChange=${(change) => setBody({ ...body, ...change })} />`}
      ${kind.file && state.at !== "done" && html`<label class="field"><span>File${file ? `: ${file.name}, ${bytes(file.size)}` : ""}</span>
        <input type="file" onChange=${(event) => setFile(event.target.files[0] ?? null)} /></label>`}
      ${kind.plan && state.at !== "done" && html`<${Plan} of=${of} kind=${kind} action=${action} body=${body} etag=${etag} />`}
      <div class="field"><span>The same on the command line</span><${Command} line=${line} /></div>
      ${state.at !== "done" && html`<label class="field"><span>Reason ${kind.needsReason ? "(needed)" : "(for the record, optional)"}</span>
        <input name="reason" value=${reason} onInput=${(event) => setReason(event.target.value)} maxlength="300" autocomplete="off" /></label>`}
      ${kind.typed && html`<label class="field"><span>Type <code>${name}</code> to confirm</span>
        <input name="typed" value=${typed} onInput=${(event) => setTyped(event.target.value)} autocomplete="off" spellcheck=${false} /></label>`}
      ${state.problem && (state.problem.status === 412 ? html`<${Changed} problem=${state.problem} name=${name} />` : html`<${ProblemNote} problem=${state.problem} />`)}
      ${busy && html`<${Working} work=${state.work} />`}
      ${state.at === "done" && html`<div role="status"><${Result} name=${action.name} of=${state.result} /></div>`}
      <footer>
        ${state.at === "done"
          ? html`<button type="button" class="primary" onClick=${onClose}>Close</button>`
          : html`<span id="lacks" class="quiet">${lacks ?? ""}</span>
            <button type="button" onClick=${() => { stop.current.abort(); onClose(); }}>${busy ? "Leave" : "Keep as it is"}</button>
            <button type="submit" class=${kind.typed ? "danger solid" : "primary"} aria-disabled=${lacks || busy ? "true" : undefined} aria-describedby="lacks" data-confirm>
              ${kind.label ?? action.name}</button>`}
      </footer>
    </form>
  <//>`;
}

/** What is still needed before it can be confirmed, as a sentence. */
function missing(kind, { body, file, typed, reason, name }) {
  const field = kind.fields?.find((field) => field.required && !body[field.name]);
  if (field) return `“${field.label}” is needed.`;
  if (kind.file && !file) return "A file is needed.";
  if (kind.needsReason && !reason.trim()) return "A reason is needed.";
  return kind.typed && typed !== name ? "The name is needed." : null;
}

const clean = (body) => Object.fromEntries(Object.entries(body).filter(([, value]) => value !== "" && value !== false && value !== null && value !== undefined));

function Fields({ fields, body, onChange }) {
  const some = (more) => fields.filter((field) => !!field.more === more);
  const control = (field) => {
    const { name, label, kind, options, placeholder } = field;
    if (kind === "check") return html`<label class="check">
      <input type="checkbox" name=${name} checked=${!!body[name]} onChange=${(event) => onChange({ [name]: event.target.checked })} /><span>${label}</span></label>`;
    if (kind === "choice") return html`<label class="field"><span>${label}</span>
      <select name=${name} value=${body[name] ?? ""} onChange=${(event) => onChange({ [name]: event.target.value })}>
      ${options.map(([value, word]) => html`<option value=${value}>${word}</option>`)}</select></label>`;
    const read = (text) => (kind === "number" && text !== "" ? Number(text) : text);
    return html`<label class="field"><span>${label}</span>
      <input name=${name} type=${kind === "number" ? "number" : "text"} min="1" placeholder=${placeholder ?? ""} value=${body[name] ?? ""} onInput=${(event) => onChange({ [name]: read(event.target.value) })} autocomplete="off" spellcheck=${false} /></label>`;
  };
  const rest = some(true);
  return html`<div class="fields">${some(false).map(control)}</div>${rest.length > 0 && html`<details><summary>More options</summary>
    <div class="fields">${rest.map(control)}</div></details>`}`;
}

/** What the server would do; asked again a moment after each change. */
function Plan({ of, kind, action, body, etag }) {
  const [plan, setPlan] = useState({ busy: true });
  const key = JSON.stringify([body, etag]);
  useEffect(() => {
    let current = true;
    setPlan((old) => ({ ...old, busy: true }));
    const timer = setTimeout(async () => {
      try {
        const facts = await kind.plan(of, clean(body), action);
        if (current) setPlan({ facts });
      } catch (problem) {
        if (current) setPlan({ problem });
      }
    }, 250);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [key]);
  return html`<section class="plan" aria-label="Plan" aria-busy=${plan.busy ? "true" : "false"}><h3>What would happen</h3>
    ${plan.facts ? html`<${Facts} of=${plan.facts} />` : plan.problem ? html`<${ProblemNote} problem=${plan.problem} />` : html`<p class="quiet">Asking the host …</p>`}</section>`;
}

/** Somebody else was faster: who, when, and what it is now. */
function Changed({ problem, name }) {
  const { changedBy, changedAt } = problem.current ?? {};
  const who = typeof changedBy === "string" ? changedBy : actor(changedBy);
  const fresh = live.projections.find((p) => p.name === name);
  return html`<div class="note warn" role="alert"><p>
    <strong>${who === "–" ? "Somebody" : who} changed this ${changedAt ? age(changedAt) : "meanwhile"}.</strong> Nothing was done. It is ${fresh?.rebuild?.status ?? "as you see it"} now; look again, and confirm once more if it is still what you want.</p></div>`;
}

function Working({ work }) {
  const part = work?.total ? (100 * work.done) / work.total : null;
  const text = work ? `${work.what || "working"}: ${count(work.done)}${work.total ? ` of ${count(work.total)}` : ""} ${work.unit}` : "working";
  return html`<div class="working" role="status"><${Bar} percent=${part} state="running" label=${text} /><p class="quiet">${text}</p></div>`;
}
