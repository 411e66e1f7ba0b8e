// Documents and payloads as text. JavaScript's numbers end at 2^53 and JSON.parse rounds what is longer, so what users have stored is
// never parsed into values: it is cut out of the answer as it stands, and formatted token by token.

const TOKEN = /\s+|"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[{}[\],:]/gy;

/** The tokens of a JSON text, white space left out; throws where it is none. */
export function tokens(text) {
  const found = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match) throw new SyntaxError(`no JSON at character ${at}`);
    if (match[0].trim() !== "") found.push({ text: match[0], at, end: TOKEN.lastIndex });
  }
  return found;
}

/** Parses an answer; the value of each member that is named in `kept` stays the text that it is in the answer. */
export function parseKeeping(text, kept) {
  const all = tokens(text);
  let i = 0;
  const skip = () => {
    let depth = 0;
    do {
      const t = all[i++].text;
      if (t === "{" || t === "[") depth++;
      if (t === "}" || t === "]") depth--;
    } while (depth > 0);
  };
  const value = () => {
    const t = all[i++].text;
    if (t === "[") {
      const list = [];
      while (all[i].text !== "]") {
        list.push(value());
        if (all[i].text === ",") i++;
      }
      i++;
      return list;
    }
    if (t !== "{") return JSON.parse(t);
    const object = {};
    while (all[i].text !== "}") {
      const name = JSON.parse(all[i].text);
      i += 2;
      const from = all[i].at;
      if (kept.includes(name)) {
        skip();
        object[name] = text.slice(from, all[i - 1].end);
      } else object[name] = value();
      if (all[i].text === ",") i++;
    }
    i++;
    return object;
  };
  return value();
}

/** The tokens of a document with line breaks and indentation, each with what it is; short objects stay on one line. */
export function pretty(text, width = 60) {
  let all;
  try {
    all = tokens(text);
  } catch {
    return [{ kind: "plain", text }];
  }
  const out = [];
  const close = matching(all);
  let depth = 0;
  let flat = -1;
  const line = () => out.push({ kind: "space", text: "\n" + "  ".repeat(depth) });
  all.forEach((token, i) => {
    const t = token.text;
    const opens = t === "{" || t === "[";
    const closes = t === "}" || t === "]";
    const empty = opens && close.get(i) === i + 1;
    if (closes) {
      depth--;
      if (flat < 0 && close.get(i) !== i - 1) line();
    }
    out.push({ kind: kindOf(t, all[i + 1]?.text), text: t });
    if (opens) {
      depth++;
      // The outermost object is always spread out: it is what the reader came for.
      if (flat < 0 && depth > 1 && all[close.get(i)].end - token.at <= width) flat = close.get(i);
      if (flat < 0 && !empty) line();
    }
    if (i === flat) flat = -1;
    if (t === ",") flat < 0 ? line() : out.push({ kind: "space", text: " " });
    if (t === ":") out.push({ kind: "space", text: " " });
  });
  return out;
}

/** Where each bracket has its other half. */
function matching(all) {
  const pairs = new Map();
  const open = [];
  all.forEach((token, i) => {
    if (token.text === "{" || token.text === "[") open.push(i);
    if (token.text === "}" || token.text === "]") {
      const from = open.pop();
      pairs.set(from, i);
      pairs.set(i, from);
    }
  });
  return pairs;
}

function kindOf(text, next) {
  if (text[0] === '"') return next === ":" ? "key" : "string";
  if (/^[-\d]/.test(text)) return "number";
  if (/^[tfn]/.test(text)) return "literal";
  return "mark";
}
