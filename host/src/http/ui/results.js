// What long actions answer, as evidence.
import { count, DASH, duration, plural, position, short, words } from "./format.js";
import { html } from "./html.js";
import { Document, Facts, Note, Prose, Table } from "./parts.js";
import { Mark } from "./status.js";

export function Result({ name, of }) {
  if (!of) return html`<${Note} tone="good">Done.<//>`;
  if (name === "verify") return html`<${Verified} of=${of} />`;
  if (name === "try") return html`<${Tried} of=${of} />`;
  if (name === "swap" || name === "plugin-rollback") return html`<${Swapped} of=${of} />`;
  if (name.startsWith("dead-letters")) return html`<${Retried} of=${of} />`;
  return html`<${Plain} of=${of} />`;
}

const Plain = ({ of }) => html`<${Facts} of=${Object.entries(of).filter(([, value]) => value === null || typeof value !== "object").map(([name, value]) => [words(name), typeof value === "number" ? count(value) : String(value ?? DASH)])} />`;

const differences = (c) => c.missing + c.extra + c.different;

function Verified({ of }) {
  const n = differences(of);
  return html`<${Note} tone=${n ? "bad" : "good"}>
    <p><${Mark} state=${n ? "failed" : "completed"} word=${n ? plural(n, "difference") : "Exact"} /> Generation ${of.generation} compared with its history up to position ${position(of.position)}: ${count(of.rows)} rows from ${count(of.events)} events.</p>
    ${of.repairedBy && html`<p>Repaired: generation ${of.repairedBy} is live.</p>`}<//>
    ${n > 0 && html`<${Compared} of=${of} expected="History gives" found="The generation has" />`}`;
}

export function Tried({ of }) {
  const n = differences(of);
  const [now, then] = of.parked ?? [0, 0];
  return html`<${Note} tone=${then > now ? "bad" : n ? "warn" : "good"}>
    <p><${Mark} state=${n ? "warn" : "completed"} tone=${n ? "warn" : "good"} word=${n ? plural(n, "row") + " would differ" : "No row would differ"} /> of ${count(of.rows)}, after position ${position(of.after)} of ${of.source}.</p>
    <p>Events set aside: ${count(now)} by the installed plugin ${short(of.currentDigest)}, ${count(then)} by the candidate ${short(of.candidateDigest)}.</p><//>
    ${n > 0 && html`<${Compared} of=${of} expected="The candidate gives" found="The installed plugin gives" />`}`;
}

function Compared({ of, expected, found }) {
  return html`<${Facts} of=${[["Missing", count(of.missing)], ["Extra", count(of.extra)], ["Different", count(of.different)]]} />
    <${Table} caption="The first rows that differ" head=${["Row", "What", "Field", expected, found]}>
      ${of.first.flatMap((row) => (row.fields.length ? row.fields : [{ field: "." }]).map((field, i) => html`<tr>
        ${i === 0 && html`<th scope="row" rowspan=${row.fields.length || 1}><code>${row.table}/${row.key}</code></th>
          <td rowspan=${row.fields.length || 1}>${row.what}</td>`}
        <td><code>${field.field}</code></td><td>${field.expected === undefined ? DASH : html`<${Document} text=${field.expected} inline />`}</td>
          <td>${field.found === undefined ? DASH : html`<${Document} text=${field.found} inline />`}</td></tr>`))}
    <//>`;
}

function Swapped({ of }) {
  const list = (names) => (names?.length ? names.join(", ") : DASH);
  return html`<${Facts} of=${[
    ["Plugin", `${short(of.fromDigest)} → ${short(of.toDigest)}`], ["Version", `${of.fromVersion} → ${of.toVersion}`],
    ["Event types added", list(of.addedEventTypes)], ["Event types removed", list(of.removedEventTypes)],
    ["Tables added", list(of.addedTables)], ["Tables removed", list(of.removedTables)], ["Same shape", of.sameShape ? "yes" : "no"],
  ]} />${of.next && html`<${Note} tone="good"><p>Next: <${Prose} text=${of.next} /></p><//>`}`;
}

function Retried({ of }) {
  return html`<${Note} tone=${of.parked ? "warn" : "good"}>
    <p>${plural(of.handled, "event")} handled, ${count(of.discarded)} discarded, ${count(of.parked)} left.</p><//>
    ${of.failures?.length > 0 && html`<${Table} caption="Streams that stopped again" head=${["Stream", "Event", "Why"]}>
      ${of.failures.map((f) => html`<tr><th scope="row"><code>${f.stream ?? DASH}</code></th><td><code>${f.eventId ?? DASH}</code></td>
        <td>${f.message}</td></tr>`)}<//>`}`;
}

/** The stages of a rebuild, as a receipt and a status have them. */
export function Stages({ of }) {
  const row = (name, work, waits) => html`<tr><th scope="row">${name}</th><td class="number">${duration(work)}</td><td>${waits}</td></tr>`;
  return html`<${Table} caption="Where the time went" head=${["Stage", { name: "Worked", number: true }, "Waited"]}>
    ${row("read", of.readMs, `${duration(of.readWaitedMs)} for room: handling is slower`)}
    ${row("handle", of.handleMs, `${duration(of.handleWaitedForReadMs)} for events, ${duration(of.handleWaitedForCommitMs)} for commits`)}
    ${row("commit", of.commitMs, `${count(of.commits)} commits, ${count(of.rowsCommitted)} rows`)}<//>`;
}
