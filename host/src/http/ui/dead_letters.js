// Events that were set aside: by cause, and within a cause by stream in order, with what waits behind them.
import { get, getStored, projectionPath, seg } from "./api.js";
import { ActionButton } from "./dialog.js";
import { at, count, moment, plural, position } from "./format.js";
import { html, useState } from "./html.js";
import { live, projection } from "./live.js";
import { Document, Empty, Filter, Note, ProblemNote, useLoad } from "./parts.js";
import { Choose, Head } from "./rebuild.js";
import { setQuery } from "./route.js";
import { Mark } from "./status.js";

/** Messages that differ in numbers only have one cause. */
const cause = (message) => String(message).replace(/\d+/g, "#");

export function DeadLetters({ name, query }) {
  const p = projection(name);
  const path = name && projectionPath(name);
  const key = [name, p?.etag, p?.deadLetters];
  const some = p?.deadLetters > 0;
  const letters = useLoad(() => (some ? get(`${path}/dead-letters`) : Promise.resolve({ deadLetters: [] })), key);
  if (!p) return html`<h1>Dead letters</h1><${Choose} screen="dead-letters" missing=${name} />`;
  const text = (query.get("q") ?? "").toLowerCase();
  const all = grouped(letters.value?.deadLetters ?? []);
  const shown = all.filter((group) => !text || `${group.kind} ${group.message} ${group.frame ?? ""}`.toLowerCase().includes(text));
  return html`<${Head} p=${p} title="Dead letters" screen="dead-letters" />
    ${!some ? html`<${Empty} title="No dead letter" command=${`unspool rebuild ${name} --on-error park`}>No event of this projection is set aside. A rebuild stops at the first event that fails, unless it is told to set such events aside.<//>`
      : html`<div class="bar-head"><p class="lede">${plural(p.deadLetters, "event")} set aside${all.length ? `, for ${plural(all.length, "cause")}` : ""}.</p>
        <div class="actions-row"><${ActionButton} of=${p} name="dead-letters-retry" label="Retry all" />
          <${ActionButton} of=${p} name="dead-letters-discard" label="Discard all" /></div></div>
      <${Note}><p><strong>There is no edit-and-replay.</strong> History is not edited: fix the handler and swap the plugin, or correct the event in its source, then retry.</p><//>
      <div class="tools"><${Filter} value=${query.get("q") ?? ""} onInput=${(q) => setQuery({ q })} label="Filter causes" placeholder="Filter by message, kind or frame" /></div>
      <${ProblemNote} problem=${letters.problem} />
      ${shown.map((group, i) => html`<${Group} key=${group.fingerprint} p=${p} group=${group} letters=${letters.value?.deadLetters ?? []} isOpen=${shown.length === 1 || query.get("group") === group.fingerprint} query=${query} />`)}
      ${shown.length === 0 && text && html`<${Empty} title="No cause matches">Clear the filter to see all ${all.length}.<//>`}
      ${(letters.value?.next || letters.value?.cut) && html`<${Note} tone="warn">
        <p>Only the first ${count(letters.value.deadLetters.length)} are shown in their streams.</p><//>`}`}`;
}

function grouped(letters) {
  const causes = new Map();
  for (const letter of letters.filter((letter) => letter.error)) causes.set(cause(letter.error), [...(causes.get(cause(letter.error)) ?? []), letter]);
  return [...causes].map(([fingerprint, list]) => {
    const streams = new Set(list.map((letter) => letter.stream));
    const blocked = letters.filter((letter) => !letter.error && streams.has(letter.stream)).length;
    return { fingerprint, kind: list[0].unreadable ? "unreadable" : "failed", message: list[0].error, count: list.length, streams: streams.size, first: list[0], last: list.at(-1), blocked };
  });
}

function Group({ p, group, letters, isOpen, query }) {
  const streams = isOpen ? streamsOf(group, letters) : [];
  const toggle = () => setQuery({ group: isOpen ? "-" : group.fingerprint, letter: "" });
  return html`<section class="group" data-row data-name=${p.name} tabindex="-1" aria-labelledby=${`g-${group.first.position}-${group.count}`}>
    <h2 id=${`g-${group.first.position}-${group.count}`}>
      <button type="button" class="plain-button" aria-expanded=${isOpen ? "true" : "false"} onClick=${toggle}>
      <${Mark} state="failed" word=${group.kind.replaceAll("_", " ")} /><span class="message">${group.message}</span></button></h2>
    ${group.frame && html`<p><code class="place">${group.frame}</code></p>`}
    <p class="meta"><span><b>${count(group.count)}</b> failed</span>
      <span>in <b>${count(group.streams)}</b> ${group.streams === 1 ? "stream" : "streams"}</span>${group.blocked ? html`<span>
      <b>${count(group.blocked)}</b> wait behind them</span>` : ""}
      <span>first at ${position(group.first.position)}${at(group.first) ? `, ${moment(at(group.first), 16)}` : ""}</span>
        <span>last at ${position(group.last.position ?? group.last)}${at(group.last) && typeof group.last === "object" ? `, ${moment(at(group.last), 16)}` : ""}</span></p>
    ${isOpen && html`<ol class="streams">
      ${streams.map(([stream, list]) => html`<${Stream} key=${stream} p=${p} stream=${stream} list=${list} query=${query} />`)}</ol>`}
  </section>`;
}

/** The streams whose first failure has this cause, each in the order of its positions. */
function streamsOf(group, letters) {
  const all = new Map();
  for (const letter of letters) all.set(letter.stream, [...(all.get(letter.stream) ?? []), letter]);
  return [...all].filter(([, list]) => list.some((letter) => letter.error && (letter.fingerprint ? letter.fingerprint === group.fingerprint : cause(letter.error).includes(cause(group.message)) || cause(group.message).includes(cause(letter.error)))));
}

function Stream({ p, stream, list, query }) {
  const open = query.get("letter");
  const waiting = list.filter((letter) => !letter.error).length;
  return html`<li><div class="bar-head">
    <h3>Stream <code>${stream}</code> <small>${plural(list.length, "event")}${waiting ? `, ${count(waiting)} of them wait` : ""}</small></h3>
      <div class="actions-row"><${ActionButton} of=${p} name="dead-letters-retry" label="Retry" body=${{ stream }} quiet />
        <${ActionButton} of=${p} name="dead-letters-discard" label="Discard" body=${{ stream }} /></div></div>
    <ol class="letters">${list.map((letter) => {
      const id = letter.id ?? `@${letter.position}`;
      return html`<li><button type="button" class="plain-button letter" aria-expanded=${open === id ? "true" : "false"} onClick=${() => setQuery({ letter: open === id ? "" : id })}>
        <${Mark} state=${letter.unreadable ? "warn" : letter.error ? "failed" : "waiting"} tone=${letter.error ? "bad" : "quiet"} word=${letter.unreadable ? "unreadable" : letter.error ? "failed" : "waits"} />
        <code>${letter.id ?? "without an id"}</code><span>${letter.type ?? ""}</span><small>position ${position(letter.position)}</small></button>
        ${open === id && html`<${Letter} p=${p} id=${letter.id ?? letter.position} />`}</li>`;
    })}</ol></li>`;
}

function Letter({ p, id }) {
  const { value, problem } = useLoad(() => getStored(`${projectionPath(p.name)}/dead-letters/${seg(id)}`), [p.name, id]);
  if (problem) return html`<${ProblemNote} problem=${problem} />`;
  if (!value) return html`<p class="quiet" aria-busy="true">Reading …</p>`;
  return html`<div class="letter-detail">${value.error && html`<p class="message">
    ${value.error}</p>`}${value.timestamp !== undefined && html`<p class="quiet">${moment(value.timestamp, 23)}</p>`}
    ${value.data !== undefined && html`<${Document} text=${value.data} label="Payload" />`}${value.metadata !== undefined && value.metadata !== "null" && html`<h4>Metadata</h4>
      <${Document} text=${value.metadata} label="Metadata" />`}
    ${value.raw !== undefined && html`<h4>As its source has it</h4><${Document} text=${value.raw} label="As its source has it" />`}
    ${value.data === undefined && value.raw === undefined && html`<p class="quiet">Payloads are not shown to you (${live.host?.caller?.payloads ?? "none"}).</p>`}
    ${value.failure?.backtrace?.length > 0 && html`<details><summary>Backtrace</summary>
      <div class="backtrace" tabindex="0" role="region" aria-label="Backtrace"><ol>${value.failure.backtrace.map((frame) => html`<li>
      <code>${frame}</code></li>`)}</ol></div></details>`}
    <p class="quiet"><code>unspool dead-letters show ${p.name} ${id}</code></p></div>`;
}
