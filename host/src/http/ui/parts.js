// Small things that all screens are made of.
import { pretty } from "./json.js";
import { age, moment, DASH } from "./format.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { Shape } from "./status.js";

/** Tells those who see the page, and those who hear it. */
export function announce(text, tone = "good") {
  dispatchEvent(new CustomEvent("announce", { detail: { text, tone, id: Math.random() } }));
}

/** A command line to copy. */
export function Command({ line, label = "Copy the command" }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(line);
    } catch {
      // Without a secure origin there is no clipboard; the text can be selected.
      return announce("This browser allows no copying here: select the text.", "warn");
    }
    setCopied(true);
    setTimeout(() => setCopied(false), 1600);
  };
  return html`<span class="command"><code>${line}</code>
    <button type="button" class="tiny" onClick=${copy} aria-label=${`${label}: ${line}`}>${copied ? "Copied" : "Copy"}</button></span>`;
}

/** Sentences of the host, with what stands in backticks as code. */
export function Prose({ text }) {
  return String(text ?? "").split(/`([^`]+)`/).map((part, i) => (i % 2 === 0 ? part : html`<code>${part}</code>`));
}

/** What to do next, in the host's words, and each of its commands to copy. */
export function Next({ text, word = "Next: " }) {
  const isCommand = /^unspool [\w-]+/.test(text) && !text.includes("`");
  const commands = isCommand ? [text] : [...text.matchAll(/`(unspool [^`]+)`/g)].map((match) => match[1]);
  return html`${!isCommand && html`<p>${word}<${Prose} text=${text} /></p>`}${commands.length > 0 && html`<p class="commands">
    ${commands.map((line) => html`<${Command} line=${line} />`)}</p>`}`;
}

/** A problem document: what happened, and what helps. */
export function ProblemNote({ problem }) {
  if (!problem) return null;
  return html`<div class="note bad" role="alert"><p><${Shape} name="failed" />
    <strong>${problem.title}</strong> <${Prose} text=${problem.message} /></p>${problem.next && html`<${Next} text=${problem.next} />`}</div>`;
}

export const Note = ({ tone = "quiet", children }) => html`<div class=${`note ${tone}`}>${children}</div>`;

/** Nothing is there: why, and the command that changes it. */
export function Empty({ title, children, command }) {
  return html`<div class="empty"><h2>${title}</h2><p>${children}</p>${command && html`<p><${Command} line=${command} /></p>`}</div>`;
}

export function Age({ time }) {
  return time === null || time === undefined ? DASH : html`<time datetime=${new Date(time).toISOString()} title=${moment(time)}>${age(time)}</time>`;
}

/** How much of something is done; indeterminate where that is not counted. */
export function Bar({ percent, state, label }) {
  const known = percent !== null && percent !== undefined;
  const attributes = known ? { "aria-valuenow": Math.floor(percent), "aria-valuemin": 0, "aria-valuemax": 100 } : {};
  return html`<div class=${`bar ${state}${known ? "" : " unknown"}`} role="progressbar" aria-label=${label} ...${attributes}>
    <span style=${known ? { width: `${percent}%` } : {}}></span></div>`;
}

/** A document, its numbers to the last digit. */
export function Document({ text, label, inline = false }) {
  const tokens = pretty(text, inline ? Infinity : 60).map(({ kind, text }) => (kind === "space" || kind === "mark" ? text : html`<span class=${`json-${kind}`}>${text}</span>`));
  return inline ? html`<code class="document">
    ${tokens}</code>` : html`<pre class="document" tabindex="0" role="region" aria-label=${label ?? "Document"}>${tokens}</pre>`;
}

/** Names and values. */
export function Facts({ of }) {
  return html`<dl class="facts">${of.filter(Boolean).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value ?? DASH}</dd></div>`)}</dl>`;
}

/** A table that scrolls by itself where it is wider than the screen. */
export function Table({ caption, head, children, hidden = true }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}><table><caption class=${hidden ? "unseen" : ""}>${caption}</caption>
    <thead><tr>${head.map((cell) => html`<th scope="col" class=${cell.number ? "number" : ""}>${cell.name ?? cell}</th>`)}</tr></thead>
      <tbody>${children}</tbody></table></div>`;
}

/** Which of a few views; links, so that each has an address. */
export function Tabs({ label, now, of }) {
  return html`<nav class="tabs" aria-label=${label}>
    ${of.map(([id, name, href]) => html`<a href=${href} aria-current=${id === now ? "page" : undefined}>${name}</a>`)}</nav>`;
}

/** Something that is read when the screen is opened, and again when what it depends on has changed. */
export function useLoad(load, depends) {
  const [state, setState] = useState({ value: null, problem: null, busy: true });
  const turn = useRef(0);
  const again = () => {
    const mine = ++turn.current;
    const current = (change) => mine === turn.current && setState((old) => ({ ...old, ...change }));
    current({ busy: true });
    load().then(
      (value) => current({ value, problem: null, busy: false }),
      (problem) => current({ problem, busy: false }),
    );
  };
  useEffect(() => {
    again();
    return () => turn.current++;
  }, depends);
  return { ...state, again };
}

/** Type to filter; the address follows a moment later. */
export function Filter({ value, onInput, label, placeholder }) {
  const [text, setText] = useState(value);
  const timer = useRef(null);
  useEffect(() => setText(value), [value]);
  const typed = (event) => {
    const now = event.target.value;
    setText(now);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onInput(now), 200);
  };
  return html`<label class="filter"><span class="unseen">${label}</span>
    <input type="search" data-filter placeholder=${placeholder ?? label} value=${text} onInput=${typed} spellcheck=${false} />
    <kbd aria-hidden="true">/</kbd></label>`;
}

/** Gives the browser a file that was made here. */
export function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
