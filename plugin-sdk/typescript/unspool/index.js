// The module "unspool": what a projection in JavaScript or TypeScript imports. In a plugin it meets the host, in a test
// under Node the test kit.

const host = globalThis[Symbol.for("unspool.host")];

const NAME = /^[a-z0-9_-]{1,64}$/;
const PARTS = ["name", "version", "complexity", "chunkSize", "partitioning", "tables", "handlers"];
const COMPLEXITIES = ["simple", "standard", "complex", "integration"];
const PARTITIONINGS = ["none", "stream"];

class Table {
  constructor(name) {
    this.name = name;
    Object.freeze(this);
  }
}

/** Declares a table of rows, called as the field that it stands in, or `name`. */
export function table(name) {
  return new Table(name);
}

const projections = new WeakSet();
let first = true;

/** Defines the projection of a file: its default export. */
export function projection(definition) {
  const wrong = problem(definition);
  if (wrong) throw new Error(wrong);
  if (host && !first) throw new Error("a second projection: a plugin is one; give the other one a file of its own");
  first = false;
  const handlers = Object.freeze({ ...definition.handlers });
  const tables = Object.freeze({ ...definition.tables });
  const defined = Object.freeze({ ...definition, tables, handlers });
  projections.add(defined);
  return defined;
}

/** What is wrong with a definition, in one sentence. */
function problem(definition) {
  if (!isRecord(definition)) return `\`projection\` takes an object, not ${show(definition)}`;
  const { name, version, complexity, chunkSize, partitioning, tables, handlers } = definition;
  const unknown = Object.keys(definition).find((part) => !PARTS.includes(part));
  if (unknown !== undefined) return `a projection has no \`${unknown}\`; its parts are ${PARTS.join(", ")}`;
  if (typeof name !== "string" || !NAME.test(name))
    return `the \`name\` of a projection has 1 to 64 lower-case letters, digits, "-" and "_"; it is ${show(name)}`;
  if (!isCount(version)) return `the \`version\` of a projection is a whole number from 1 on; it is ${show(version)}`;
  if (complexity !== undefined && !COMPLEXITIES.includes(complexity))
    return `the \`complexity\` of a projection is one of ${COMPLEXITIES.join(", ")}; it is ${show(complexity)}`;
  if (chunkSize !== undefined && !isCount(chunkSize))
    return `the \`chunkSize\` of a projection is a whole number from 1 on; it is ${show(chunkSize)}`;
  if (partitioning !== undefined && !PARTITIONINGS.includes(partitioning))
    return `the \`partitioning\` of a projection is "none" or "stream"; it is ${show(partitioning)}`;
  return problemOfTables(tables) ?? problemOfHandlers(handlers);
}

function problemOfTables(tables) {
  if (!isRecord(tables) || Object.keys(tables).length === 0)
    return "a projection has at least one table: `tables: { customers: table<Customer>() }`";
  const names = new Set();
  for (const [field, declared] of Object.entries(tables)) {
    if (!(declared instanceof Table)) return `the table \`${field}\` is ${show(declared)}: write \`${field}: table()\``;
    const name = tableName(field, declared);
    if (typeof name !== "string" || !NAME.test(name))
      return `the name of a table has 1 to 64 lower-case letters, digits, "-" and "_", not ${show(name)}: write \`${field}: table("by-day")\``;
    if (names.has(name)) return `two tables are called ${show(name)}`;
    names.add(name);
  }
}

function problemOfHandlers(handlers) {
  if (!isRecord(handlers) || Object.keys(handlers).length === 0)
    return "a projection handles at least one event type: `handlers: { PaymentReceived(event, tables) { ... } }`";
  for (const [type, handler] of Object.entries(handlers)) {
    if (typeof handler !== "function") return `the handler of ${type} is ${show(handler)}, not a function`;
    const kind = Object.prototype.toString.call(handler).slice("[object ".length, -"Function]".length);
    const place = handler.fileName ? ` (${handler.fileName}:${handler.lineNumber}:${handler.columnNumber})` : "";
    if (kind.startsWith("Async")) return `the handler of ${type}${place} is async; a handler returns when it is done, and waits for nothing`;
    if (kind === "Generator") return `the handler of ${type}${place} is a generator; a handler is a plain function`;
  }
}

const isRecord = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value) => Number.isInteger(value) && value >= 1 && value <= 0xffffffff;
const tableName = (field, declared) => declared.name ?? field;

class Failure extends Error {
  constructor(kind, message, details) {
    super(message);
    this.name = "Failure";
    this.kind = kind;
    this.details = details;
  }
}

/** The event cannot be applied, now or ever. To be thrown. */
export function permanent(message, details = {}) {
  return new Failure("permanent", String(message), details);
}

/** The event could not be applied this time; the host tries it again. To be thrown. */
export function transient(message, details = {}) {
  return new Failure("transient", String(message), details);
}

/** A number that is stored as a float even where it is whole. */
class Float extends Number {}

/** Stores a number as a float, also where it is whole: `1` as `1.0`. */
export function float(number) {
  if (typeof number !== "number" || !Number.isFinite(number))
    throw new Error(`\`float\` takes a finite number, not ${show(number)}`);
  return new Float(number);
}

/** A line for the operator. */
const line = (level) => (...words) => {
  const text = words.map((word) => (typeof word === "string" ? word : show(word))).join(" ");
  if (host) host.log(level, text);
  else process.stderr.write(`${level}: ${text}\n`);
};

export const log = Object.freeze({
  error: line("error"), warn: line("warn"), info: line("info"), debug: line("debug"), trace: line("trace"),
});

/** Any value as text for people. */
function show(value, depth = 0) {
  switch (typeof value) {
    case "string": return JSON.stringify(value);
    case "bigint": return `${value}n`;
    case "function": return value.name ? `the function ${value.name}` : "a function";
    case "object": break;
    default: return Object.is(value, -0) ? "-0" : String(value);
  }
  if (value === null) return "null";
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  if (value instanceof Date) return `Date ${+value}`;
  if (value instanceof Number) return String(value);
  if (depth === 4) return "...";
  const inner = (held) => show(held, depth + 1);
  if (Array.isArray(value)) return `[${Array.from(value, inner).join(", ")}]`;
  if (value instanceof Set) return `Set { ${Array.from(value, inner).join(", ")} }`;
  if (value instanceof Map) return `Map { ${Array.from(value, ([key, held]) => `${inner(key)}: ${inner(held)}`).join(", ")} }`;
  if (ArrayBuffer.isView(value)) return `${value.constructor.name} [${Array.from(value).join(", ")}]`;
  const fields = Object.entries(value).map(([name, held]) => `${name}: ${inner(held)}`);
  return fields.length > 0 ? `{ ${fields.join(", ")} }` : "{}";
}

/** What the host is told of a projection; undefined where it is none. */
function description(defined) {
  if (!projections.has(defined)) return undefined;
  const { name, version, complexity, chunkSize, partitioning, handlers } = defined;
  const tables = Object.fromEntries(Object.entries(defined.tables).map(([field, declared]) => [field, tableName(field, declared)]));
  const eventTypes = Object.keys(handlers);
  const described = { name, version, eventTypes, tables: Object.values(tables).map((name) => ({ name })), complexity, chunkSize, partitioning };
  return { description: described, tables };
}

if (host) Object.assign(host, { show, description, Float });

// For the test kit.
export const internals = Object.freeze({ show, description, Float });
