// The host: what it is, what it has, whom it knows, and what it says.
import { get, withQuery } from "./api.js";
import { ActionButton } from "./dialog.js";
import { bytes, clock, count, DASH, moment, words } from "./format.js";
import { html, useEffect } from "./html.js";
import { live } from "./live.js";
import { Age, Facts, ProblemNote, Table, useLoad } from "./parts.js";
import { setQuery } from "./route.js";

export function Host({ query }) {
  const host = live.host;
  useEffect(() => void get("v1/host").then((fresh) => (live.host = fresh), () => {}), []);
  const stats = useLoad(() => get("v1/events/stats"), []);
  if (!host) return html`<p class="quiet">The host has not answered yet.</p>`;
  const { disk = {} } = host;
  const section = (id, title, children) => html`<section class="card" aria-labelledby=${id}><h2 id=${id}>${title}</h2>${children}</section>`;
  const label = (one) => (typeof one === "string" ? one : one.name ?? one.source);
  return html`<div class="actions-row">${["install", "import"].map((name) => html`<${ActionButton} of=${host} name=${name} explain />`)}</div>
    <div class="cards">
    ${section("version", "Host", html`<${Facts} of=${[["Name", host.name], ["Version", host.version], ["Started", html`<${Age} time=${host.startedAt} />`], ["Listens at", html`<code>
      ${host.listen}</code>`], host.data && ["Data directory", html`<code class="break">${host.data}</code>`], ["Production", host.production ? "yes" : "no"]]} />`)}
    ${section("you", "You", html`<${Facts} of=${[["Name", host.caller?.name], ["Role", host.caller?.role], ["Payloads", host.caller?.payloads], ["Known as", host.caller?.kind ?? host.caller?.via]]} />`)}
    ${section("disk", "Disk", html`<${Facts} of=${[["Store", bytes(disk.storeBytes)], ["Event log", bytes(disk.logBytes)], ["Free", bytes(disk.freeBytes)]]} />`)}
    ${section("log-stats", "Event log", stats.value ? html`<${Facts} of=${[["Events", count(stats.value.events)], ["Positions", `${count(stats.value.firstPosition)} to ${count(stats.value.lastPosition)}`], ["From", moment(stats.value.firstTimestamp)], ["To", moment(stats.value.lastTimestamp)], ["Types", count(Object.keys(stats.value.eventTypes ?? {}).length)]]} />` : html`<p class="quiet">
      ${stats.problem?.message ?? "Reading …"}</p>`)}
    ${section("settings", "Settings", html`<${Facts} of=${[host.memory !== undefined && ["Memory of an instance", typeof host.memory === "number" ? `${count(host.memory)} MiB` : setting(host.memory)], host.instances !== undefined && ["Instances", setting(host.instances)], ...Object.entries(host.settings ?? {}).filter(([name]) => !(name in host)).map(([name, value]) => [words(name), name.endsWith("Bytes") ? bytes(value) : setting(value)])]} />
      <p><a href="metrics">Metrics</a>, <a href="reference.html">requests</a>, <a href="v1/openapi.json">OpenAPI</a></p>`)}
    ${section("sources", "Sources", host.sources?.length ? html`<ul class="plainlist">${host.sources.map((source) => html`<li>
      <strong>${label(source)}</strong>${typeof source === "object" ? html` <small class="break">
      ${[source.kind, source.preset, source.connection, source.path].filter(Boolean).join(", ")}</small>` : ""}</li>`)}</ul>` : html`<p class="quiet">The embedded log alone.</p>`)}
    ${section("alerts", "Alerts", html`${host.alerts?.length ? html`<ul class="plainlist">${host.alerts.map((alert) => html`<li>
      <strong>${alert.projectionName}</strong> <small>${alert.kind}, <${Age} time=${alert.since} />: ${alert.message}</small></li>`)}</ul>` : html`<p class="quiet">Nothing is wrong that anybody could be told of.</p>`}
      ${host.alertRoutes?.length ? html`<${Table} caption="Who is told" head=${["Name", "To", "On", "Last delivery"]}>
      ${host.alertRoutes.map((route) => html`<tr><th scope="row">${route.name}</th><td>${route.to}</td><td>${route.on.join(", ")}</td>
      <td>${route.last ? html`${route.last.delivered ? "delivered" : "failed"} <${Age} time=${route.last.at} />${route.last.error ? html` <small class="break">${route.last.error}</small>` : ""}` : "nothing yet"}</td></tr>`)}<//>` : html`<p class="quiet">
      Nobody is told: <code>[[alert]]</code> in <code>unspool.toml</code> says who is to be.</p>`}`)}
    ${section("tokens", "Tokens", host.tokens === undefined || host.tokens === null ? html`<p class="quiet">Only an admin sees who has tokens.</p>` : host.tokens.length ? html`<${Table} caption="Who has tokens" head=${["Name", "Role", "Payloads", "Last used"]}>
      ${host.tokens.map((token) => html`<tr><th scope="row">${token.name}</th><td>${token.role}</td><td>${token.payloads}</td>
      <td>${token.lastUsed ? html`<${Age} time=${token.lastUsed} />` : "never"}</td>
      </tr>`)}<//>` : html`<p class="quiet">None. <code>unspool token add NAME --role viewer</code> makes one.</p>`)}
    </div><${Log} query=${query} />`;
}

/** A setting, and where it came from, where the host says that. */
const setting = (value) => (value && typeof value === "object" ? `${value.value}${value.from ? ` (${value.from})` : ""}` : value ?? DASH);

const LINES = 200;

/** What was logged before the page was opened, and what is logged now. */
function Log({ query }) {
  const projection = query.get("projection") ?? "";
  const past = useLoad(() => get(withQuery("v1/log", { lines: LINES, projection })), [projection]);
  const known = past.value?.lines ?? [];
  const last = known.at(-1)?.seq ?? 0;
  const lines = [...known, ...live.log.filter((line) => line.seq > last && (!projection || line.projection === projection))].slice(-2 * LINES);
  return html`<section aria-labelledby="log"><div class="bar-head"><h2 id="log">Log</h2><label class="field inline"><span>Projection</span>
    <select value=${projection} onChange=${(event) => setQuery({ projection: event.target.value })}>
    <option value="">all</option>${live.projections.map((p) => html`<option value=${p.name}>${p.name}</option>`)}</select></label></div>
    <${ProblemNote} problem=${past.problem} />
    ${lines.length === 0 ? html`<p class="quiet">Nothing was logged yet.</p>` : html`<div class="log" tabindex="0" role="log" aria-label="Log of the host">
      <ol>${lines.map((line) => html`<li key=${line.seq} class=${line.level}><time title=${moment(line.at, 23)}>${clock(line.at)}</time>
      <span class="level">${line.level}</span>
      <span class="text">${line.projection ? html`<b>${line.projection}</b> ` : ""}${line.message}</span></li>`)}</ol></div>`}</section>`;
}
