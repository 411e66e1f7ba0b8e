// What a script finds in place of what a projection must not have, before any module is evaluated. The value of this
// script is a function of the host's natives, to which it adds what the host asks of scripts.
(function (host) {
  "use strict";
  const own = Symbol.for("unspool.host");
  const define = (name, value) =>
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
  Object.defineProperty(globalThis, own, { value: host, configurable: true });

  // Time is the event's.
  const Clock = Date;
  const EventDate = new Proxy(Clock, {
    construct: (target, given, made) =>
      Reflect.construct(target, given.length > 0 ? given : [host.now()], made === EventDate ? target : made),
    apply: () => new EventDate().toString(),
  });
  Clock.now = () => host.now();
  Clock.prototype.constructor = EventDate;
  define("Date", EventDate);

  Math.random = () => {
    throw new Error("a projection has no randomness: derive the value from the event, such as from `event.id`");
  };

  const words = (given) => given.map((value) => (typeof value === "string" ? value : host.show(value))).join(" ");
  const line = (level) => (...given) => host.log(level, words(given));
  define("console", {
    log: line("info"), info: line("info"), warn: line("warn"), error: line("error"), debug: line("debug"), trace: line("trace"),
  });

  define("TextEncoder", class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(text = "") { return host.utf8(String(text)); }
  });
  define("TextDecoder", class TextDecoder {
    constructor(label = "utf-8") {
      if (!/^utf-?8$/i.test(label)) throw new RangeError(`a plugin decodes UTF-8 only, not ${label}`);
    }
    get encoding() { return "utf-8"; }
    decode(bytes = new Uint8Array()) {
      return host.utf8(bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes.buffer ?? bytes));
    }
  });

  const copy = (value, seen) => {
    if (typeof value === "function" || typeof value === "symbol") throw new TypeError(`${String(value)} cannot be cloned`);
    if (typeof value !== "object" || value === null) return value;
    if (seen.has(value)) return seen.get(value);
    const note = (made) => (seen.set(value, made), made);
    if (Array.isArray(value)) {
      const made = note([]);
      for (const element of value) made.push(copy(element, seen));
      return made;
    }
    if (value instanceof Clock) return note(new Clock(+value));
    if (value instanceof RegExp) return note(new RegExp(value.source, value.flags));
    if (value instanceof Map) {
      const made = note(new Map());
      for (const [key, held] of value) made.set(copy(key, seen), copy(held, seen));
      return made;
    }
    if (value instanceof Set) {
      const made = note(new Set());
      for (const held of value) made.add(copy(held, seen));
      return made;
    }
    if (value instanceof Error) return note(Object.assign(new Error(value.message), { name: value.name }));
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return note(value.slice());
    const made = note({});
    for (const name of Object.keys(value)) made[name] = copy(value[name], seen);
    return made;
  };
  define("structuredClone", (value) => copy(value, new Map()));

  // What a module holds: the builder adds a call of this at the end of each, with its variables.
  const held = [];
  host.hold = (file, variables) => {
    for (const [name, line, column, assignable, read] of variables)
      held.push({ name, place: `${file}:${line}:${column}`, assignable, read });
  };

  const builtIn = new Set(
    Reflect.ownKeys(globalThis)
      .map((name) => globalThis[name])
      .flatMap((value) => (typeof value === "function" ? [value, value.prototype] : [value])),
  );

  // Freezes everything that can be reached from `root`, so that no event leaves anything for the next one.
  const seen = new Set();
  const expressions = [];
  const freeze = (root) => {
    const waiting = [root];
    while (waiting.length > 0) {
      const value = waiting.pop();
      const isObject = (typeof value === "object" && value !== null) || typeof value === "function";
      if (!isObject || seen.has(value) || builtIn.has(value)) continue;
      seen.add(value);
      if (value instanceof RegExp) {
        expressions.push(value);
        continue;
      }
      if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) continue;
      if (value instanceof Map || value instanceof Set) {
        for (const [key, entry] of value.entries()) waiting.push(key, entry);
        const refuse = () => {
          throw new TypeError("a Map or Set that a module holds is frozen: nothing but rows survives a call; keep it in a row");
        };
        for (const name of ["set", "add", "delete", "clear"]) Object.defineProperty(value, name, { value: refuse });
      }
      for (const name of Reflect.ownKeys(value)) {
        const property = Reflect.getOwnPropertyDescriptor(value, name);
        waiting.push(property.value, property.get, property.set);
      }
      waiting.push(Object.getPrototypeOf(value));
      Object.freeze(value);
    }
  };

  host.keep = (exported) => {
    delete globalThis[own];
    const variables = held.filter((variable) => variable.assignable);
    for (const variable of held) freeze(variable.read());
    freeze(exported);
    for (const value of builtIn)
      if ((typeof value === "object" && value !== null) || typeof value === "function")
        if (value !== globalThis) Object.preventExtensions(value);
    Object.freeze(Math);
    Object.freeze(globalThis);
    return { variables, expressions };
  };

  host.describe = (exported) => host.description?.(exported);
})
