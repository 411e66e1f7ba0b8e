// What can be asked over HTTP: the description that the host gives of itself, to be read.
import { get } from "./api.js";
import { html, render, useEffect, useState } from "./html.js";
import { Command, ProblemNote, Table, useLoad } from "./parts.js";
import { applyTheme } from "./theme.js";

const METHODS = ["get", "post", "put", "delete"];

function Reference() {
  const { value, problem } = useLoad(() => get("v1/openapi.json"), []);
  const [wanted, setWanted] = useState("");
  useEffect(() => void (location.hash && value && document.getElementById(location.hash.slice(1))?.scrollIntoView()), [value]);
  const fits = (one) => `${one.method} ${one.path} ${one.summary}`.toLowerCase().includes(wanted.toLowerCase());
  const all = operations(value).filter(fits);
  const tags = [...new Set(all.map((one) => one.tags[0]))];
  return html`<main class="reference stack" id="main"><header><h1>Requests</h1>
    <p>${value?.info.description} <a href="v1/openapi.json">OpenAPI ${value?.openapi}</a>, <a href="./">the dashboard</a>.</p>
    <p><${Command} line=${`curl -H "Authorization: Bearer $TOKEN" ${new URL("v1/projections", location.href)}`} /></p>
    <label class="field"><span>Filter</span><input type="search" value=${wanted} onInput=${(event) => setWanted(event.target.value)} /></label></header>
    <${ProblemNote} problem=${problem} />${problem?.status === 401 && html`<p><a href="./">Sign in</a> first.</p>`}
    ${tags.map((tag) => html`<section key=${tag} aria-labelledby=${`tag-${tag}`}><h2 id=${`tag-${tag}`}>${tag}</h2>
      ${all.filter((one) => one.tags[0] === tag).map((one) => html`<${Operation} key=${one.operationId} of=${one} components=${value.components} />`)}</section>`)}</main>`;
}

function operations(value) {
  return Object.entries(value?.paths ?? {}).flatMap(([path, of]) => METHODS.filter((method) => of[method]).map((method) => ({ method, path, ...of[method] })));
}

function Operation({ of, components }) {
  const [open, setOpen] = useState(location.hash === `#${of.operationId}`);
  const own = of["x-unspool"] ?? {};
  const notes = [of.description, own.recorded && "It is recorded.", own.mustMatch && "It needs If-Match.", own.showsRowsAndEvents && "It shows rows and events."];
  return html`<details id=${of.operationId} open=${open} onToggle=${(event) => setOpen(event.target.open)}><summary><code>
    <strong>${of.method.toUpperCase()}</strong> ${of.path}</code> <span>${of.summary}</span></summary>
    ${open && html`<div class="card stack"><p>${notes.filter(Boolean).join(" ")}</p>
      ${of.parameters?.length > 0 && html`<${Table} caption=${`Parameters of ${of.operationId}`} head=${["Name", "In", "Type", "Meaning"]}>
        ${of.parameters.map((one) => html`<tr key=${one.in + one.name}><th scope="row"><code>${one.name}</code>${one.required ? "" : " (optional)"}</th><td>${one.in}</td>
        <td>${named(one.schema)}</td><td>${one.description}</td></tr>`)}<//>`}
      ${of.requestBody && html`<h3>Body</h3><${Contents} content=${of.requestBody.content} where=${`the body of ${of.operationId}`} components=${components} />`}
      ${Object.entries(of.responses).filter(([status]) => status < 300).map(([status, one]) => html`<h3>Answer ${status}</h3>
        <${Contents} content=${one.content} where=${`answer ${status} of ${of.operationId}`} components=${components} />`)}
      <${Table} caption=${`Refusals of ${of.operationId}`} head=${["Status", "When"]}>${Object.keys(of.responses).filter((status) => status >= 300).map((status) => html`<tr key=${status}>
        <th scope="row">${status}</th><td>${components.responses[status].description}</td></tr>`)}<//></div>`}</details>`;
}

function Contents({ content, where, components }) {
  if (!content) return html`<p class="quiet">Nothing.</p>`;
  return Object.entries(content).map(([kind, { schema }]) => html`<details><summary><code>${kind}</code> ${named(schema)}</summary>
    <${Fields} schema=${schema} where=${`${where}, ${kind}`} components=${components} seen=${[]} /></details>`);
}

const REF = "#/components/schemas/";

/** What a schema is called, in a word or two. */
function named(schema = {}) {
  if (schema.$ref) return schema.$ref.slice(REF.length);
  if (schema.type === "array") return `list of ${named(schema.items)}`;
  const several = schema.anyOf ?? schema.oneOf;
  if (several) return [...new Set(several.map(named))].join(" or ");
  if (schema.allOf) return schema.allOf.map(named).join(" and ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(", ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  return [schema.type ?? "any"].flat().join(" or ");
}

/** The fields of a schema, and of what is in them; `where` and the types around it tell its table from others. */
function Fields({ schema, where, components, seen }) {
  const parts = [schema, ...(schema.allOf ?? []), ...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.items ? [schema.items] : [])];
  const below = [];
  const rows = [];
  for (const part of parts.filter(Boolean)) {
    const name = part.$ref?.slice(REF.length);
    if (name && !seen.includes(name)) below.push(name);
    for (const [field, of] of Object.entries(part.properties ?? {})) rows.push([field, of, part.required?.includes(field)]);
  }
  return html`${rows.length > 0 && html`<${Table} caption=${`Fields of ${[...seen].reverse().concat(where).join(" in ")}`} head=${["Field", "Type", "Meaning"]}>${rows.map(([field, of, needed]) => html`<tr key=${field}>
      <th scope="row"><code>${field}</code>${needed ? "" : " (optional)"}</th>
      <td>${named(of)}${references(of).filter((name) => !seen.includes(name)).map((name) => html` <${Type} name=${name} where=${`${field} of ${where}`} components=${components} seen=${seen} />`)}</td>
      <td>${of.description}</td></tr>`)}<//>`}
    ${below.map((name) => html`<p class="quiet">${components.schemas[name].description}</p>
      <${Fields} schema=${components.schemas[name]} where=${where} components=${components} seen=${[...seen, name]} />`)}
    ${rows.length + below.length === 0 && html`<p class="quiet">${schema.description ?? named(schema)}</p>`}`;
}

/** The types that a schema refers to. */
function references(schema) {
  return [schema, schema.items, ...(schema.anyOf ?? []), ...(schema.oneOf ?? [])].map((part) => part?.$ref?.slice(REF.length)).filter(Boolean);
}

/** A type in a table, its fields on demand. */
function Type({ name, where, components, seen }) {
  const [open, setOpen] = useState(false);
  return html`<details onToggle=${(event) => { event.stopPropagation(); setOpen(event.currentTarget.open); }}><summary>${name}</summary>
    ${open && html`<${Fields} schema=${components.schemas[name]} where=${where} components=${components} seen=${[...seen, name]} />`}</details>`;
}

applyTheme();
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${Reference} />`, root);
