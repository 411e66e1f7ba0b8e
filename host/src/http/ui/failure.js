// A rebuild that failed: the event, what the plugin said and where, and the way out.
import { actionOf, actionOr } from "./actions.js";
import { getStored, seg, send, workOf } from "./api.js";
import { act, ActionButton } from "./dialog.js";
import { count, moment, position, short } from "./format.js";
import { html, useState } from "./html.js";
import { live } from "./live.js";
import { Bar, Document, Facts, Next, Note, ProblemNote, Table, useLoad } from "./parts.js";
import { Result } from "./results.js";
import { Mark } from "./status.js";

export function Failure({ p, failure }) {
  const [place, message] = located(failure.message);
  const isFollower = !p.rebuild?.failure;
  return html`<section class="failure" aria-labelledby="failure"><h2 id="failure">
    <${Mark} state="failed" word=${isFollower ? "Following failed" : "Failed"} /> ${failure.kind.replaceAll("_", " ")}${failure.position !== undefined ? html` at position ${position(failure.position)}` : ""}</h2>
    <p class="message">${message}</p>
    ${place && html`<p><code class="place">${place}</code></p>`}
    <${Facts} of=${[
      failure.eventId && ["Event", html`<code class="break">
        ${failure.eventId}</code>`], failure.eventType && ["Type", failure.eventType], failure.stream && ["Stream", html`<code>${failure.stream}</code>`],
      failure.pluginDigest && ["Plugin", html`<code>
        ${short(failure.pluginDigest)}</code>`], failure.tries && ["Tries", count(failure.tries)], ...(failure.details ?? []).map(([name, value]) => [name, value]),
    ]} />
    ${failure.eventId && html`<${FailedEvent} p=${p} failure=${failure} />`}
    ${failure.backtrace?.length > 0 && html`<${Backtrace} frames=${failure.backtrace} />`}
    ${p.rebuild?.next && html`<${Note}><${Next} text=${p.rebuild.next} /><//>`}
    ${["handler", "trap", "deadline", "memory", "stack", "bad_output", "plugin"].includes(failure.kind) && html`<${WayOut} p=${p} failure=${failure} />`}
  </section>`;
}

/** `file:line:column: message` in two. */
function located(message) {
  const match = /^(\S+\.\w+:\d+(?::\d+)?): ([\s\S]*)$/.exec(message);
  return match ? [match[1], match[2]] : [null, message];
}

/** The event with its payload, where one may see it, and its neighbours in the stream. */
function FailedEvent({ p, failure }) {
  const id = failure.eventId;
  const event = useLoad(() => getStored(`v1/events/${seg(id)}`), [id]);
  const around = useLoad(() => getStored(`v1/events/${seg(id)}/around?count=3`), [id]);
  const neighbours = around.value?.events ?? (Array.isArray(around.value) ? around.value : null);
  return html`<details class="event" open><summary>The event</summary>
    ${event.value && html`<p class="quiet">${moment(event.value.timestamp, 23)}</p>
      ${event.value.data !== undefined && html`<${Document} text=${event.value.data} label="Payload of the event" />`}`}
    ${event.problem && html`<p class="quiet">
      ${event.problem.status === 403 ? `You may not see payloads (${live.host?.caller?.payloads ?? "none"}). ` : ""}${event.problem.message}</p>`}
    ${neighbours?.length > 1 && html`<${Table} caption=${`Around it in stream ${failure.stream}`} hidden=${false} head=${[{ name: "Position", number: true }, "Event", "Type", "Time"]}>
      ${neighbours.map((one) => html`<tr class=${one.id === id ? "here" : ""} aria-current=${one.id === id ? "true" : undefined}>
        <td class="number">${position(one.position)}</td><th scope="row"><code>${one.id}</code></th><td>${one.type}</td>
        <td>${moment(one.timestamp, 23)}</td></tr>`)}<//>`}
  </details>`;
}

/** It is the plugin's own frames that one looks for; those of the toolchain are there on demand. */
function Backtrace({ frames }) {
  const [all, setAll] = useState(false);
  const isOwn = (frame) => !/\/rustc\/|^std::|^core::|^__rust|^_?export_|plugin-sdk\//.test(frame);
  const own = frames.filter(isOwn);
  const shown = all || own.length === 0 ? frames : own;
  return html`<details open><summary>Backtrace, innermost first</summary><div class="backtrace" tabindex="0" role="region" aria-label="Backtrace">
    <ol>${shown.map((frame) => {
    const [, what, where] = /^(.*?)(?: \(([^()]*:\d+)\))?$/.exec(frame) ?? [null, frame, null];
    return html`<li class=${isOwn(frame) ? "own" : ""}><code>${what}</code>${where && html` <small>${where}</small>`}</li>`;
  })}</ol></div>${own.length > 0 && own.length < frames.length && html`<button type="button" class="tiny" onClick=${() => setAll(!all)}>
    ${all ? "Only those of the plugin" : `All ${count(frames.length)} frames`}</button>`}</details>`;
}

/** Try the candidate, swap, resume: one file, three steps, evidence in between. */
function WayOut({ p, failure }) {
  const [file, setFile] = useState(null);
  const [trial, setTrial] = useState({});
  const swap = actionOf(p, "swap");
  const because = live.light === "lost" ? "The host does not answer." : !file ? "Choose the component first." : null;
  const isSwapped = failure.pluginDigest && failure.pluginDigest !== p.plugin.digest;
  const tryIt = async () => {
    if (because) return;
    setTrial({ busy: true });
    try {
      const onRow = (row) => setTrial((old) => ({ ...old, work: workOf(row) ?? old.work }));
      setTrial({ result: await send("POST", actionOr(p, "try", "POST", "try").path, { body: file, onRow }) });
    } catch (problem) {
      setTrial({ problem });
    }
  };
  const swapIt = () => {
    if (!because && swap?.allowed) act(p, swap, { file });
  };
  const work = trial.work;
  return html`<section class="wayout" aria-labelledby="wayout"><h3 id="wayout">The way out</h3>
    <ol class="steps">
      <li><h4>Choose the fixed component</h4><p><label class="file"><span class="unseen">Component</span>
        <input type="file" accept=".wasm" data-component onChange=${(event) => { setFile(event.target.files[0] ?? null); setTrial({}); }} />
        </label> <small>built with <code>unspool plugin build DIR</code></small></p></li>
      <li><h4>Try it</h4><p class="quiet">Beside the installed plugin, on the last events and the dead letters. Nothing is kept.</p>
        <p><button type="button" aria-disabled=${because ? "true" : undefined} aria-describedby="try-why" data-try onClick=${tryIt}>Try it</button> <span id="try-why" class="why">
          ${because ?? ""}</span></p>
        ${trial.busy && html`<div class="working" role="status">
          <${Bar} percent=${work?.total ? (100 * work.done) / work.total : null} state="running" label="Trying" />
          <p class="quiet">${work ? `${work.what}: ${count(work.done)} ${work.unit}` : "trying"}</p></div>`}
        ${trial.problem && html`<${ProblemNote} problem=${trial.problem} />`}${trial.result && html`<div role="status">
          <${Result} name="try" of=${trial.result} /></div>`}</li>
      <li class=${isSwapped ? "done" : ""}><h4>Swap it in</h4>${isSwapped ? html`<p>
        <${Mark} state="completed" word="done" /> plugin <code>${short(p.plugin.digest)}</code> is installed.</p>` : html`<p>
        <button type="button" aria-disabled=${because || !swap?.allowed ? "true" : undefined} aria-describedby="swap-why" data-swap onClick=${swapIt}>Swap</button> <span id="swap-why" class="why">
        ${because ?? (swap?.allowed ? "" : swap?.because ?? "")}</span></p>`}</li>
      <li><h4>Resume at the event</h4><p>
        <${ActionButton} of=${p} name=${actionOf(p, "resume")?.allowed || !actionOf(p, "follow")?.allowed ? "resume" : "follow"} explain quiet=${!isSwapped} /></p></li>
    </ol></section>`;
}
