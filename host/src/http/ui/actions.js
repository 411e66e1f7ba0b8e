// What each action is called, asks for and says. Whether it is allowed, and why not, is the server's to say.
import { count, plural, quoted, short } from "./format.js";
import { get, projectionPath, send, withQuery } from "./api.js";
import { live } from "./live.js";

const SOURCE = { name: "source", label: "Source", flag: "--source", placeholder: "as the live generation" };
const GENERATION = { name: "generation", label: "Generation" };

/** `title`: where the label alone would mislead. `typed`: the name has to be typed. `says`: what it does. `fields`: what can be said with it. `plan`: what would happen. */
export const ACTIONS = {
  rebuild: {
    label: "Rebuild", primary: true,
    says: () => "Builds a new generation beside the live one, or goes on with an unfinished one. Readers keep the old rows until the new ones are complete.",
    fields: [
      SOURCE,
      { name: "rateLimit", label: "Rate limit, events/s", kind: "number", flag: "--rate-limit", placeholder: "none" },
      { name: "chunkSize", label: "Chunk size", kind: "number", flag: "--chunk-size", placeholder: "the projection's own" },
      { name: "onError", label: "On an event that fails", kind: "choice", flag: "--on-error", options: [["", "stop there"], ["park", "set it aside"]] },
      { name: "from", label: "From", flag: "--from", placeholder: "first event", more: true },
      { name: "to", label: "To", flag: "--to", placeholder: "last event", more: true },
      { name: "into", label: "Rows into", flag: "--into", placeholder: "as before", more: true },
      { name: "priority", label: "Priority", kind: "choice", flag: "--priority", options: [["", "low"], ["normal", "normal"]], more: true },
      { name: "noPromote", label: "Do not promote it", kind: "check", flag: "--no-promote" },
      { name: "follow", label: "Follow it afterwards", kind: "check", flag: "--follow" },
      { name: "restart", label: "Start over", kind: "check", flag: "--restart" },
      { name: "allowParked", label: "Promote even with dead letters", kind: "check", flag: "--allow-parked", more: true },
    ],
    async plan(p, body, action) {
      const plan = await send(action.method, action.path, { body: { ...body, dryRun: true } });
      return [
        ["Would be", plan.wouldBe.replaceAll("_", " ")], ["Source", plan.source], plan.sourceWas && ["Source of the live one", plan.sourceWas],
        ["Positions", `after ${plan.after} to ${plan.target}`], ["Events", count(plan.events)],
        ...Object.entries(plan.leftOut ?? {}).map(([why, n]) => [`Left out: ${why}`, count(n)]),
        ["Chunk size", count(plan.chunkSize)], ["Plugin", short(plan.pluginDigest)], ["Promotes", plan.promotes ? "yes, when it is complete" : "no"],
      ];
    },
  },
  pause: { label: "Pause", says: () => "Stops it so that it can go on. What was handled is durable when the host answers." },
  resume: {
    label: "Resume", primary: true, says: (p) => `Goes on after event ${p.rebuild?.lastEventId ?? "none, from the start"}, at position ${p.rebuild?.position ?? 0}.`,
    fields: [{ name: "acceptMissing", label: "Events that may be missing", kind: "number", flag: "--accept-missing", placeholder: "none", more: true }],
  },
  cancel: { label: "Cancel", title: "Cancel the rebuild of", typed: true, says: (p) => `Gives up generation ${p.rebuild?.generation ?? ""}: ${plural(p.rebuild?.eventsProcessed ?? 0, "event")} of work. The live generation stays as it is.` },
  follow: { label: "Follow", says: () => "Keeps the live generation up to date with new events, from its checkpoint on." },
  unfollow: { label: "Stop following", says: () => "Leaves the live generation as it is. Readers keep it, and it grows old." },
  "catch-up": { label: "Catch up", long: true, says: () => "Brings the live generation to the present end of its history, once." },
  promote: {
    label: "Promote", primary: true, says: (p, body) => `Readers get generation ${body.generation ?? "that is complete"} from one moment to the next. The one before is kept for a roll back.`,
    fields: [
      GENERATION,
      { name: "allowParked", label: "Even with dead letters", kind: "check", flag: "--allow-parked" },
      { name: "allowEmpty", label: "Even if it is empty", kind: "check", flag: "--allow-empty" },
    ],
  },
  rollback: {
    label: "Roll back", long: true, says: () => "Exchanges the live and the previous generation. The previous one is brought to the live position first, by the plugin that built it.",
    fields: [
      { name: "now", label: "At once, and bring it up to date afterwards: readers go back in time", kind: "check", flag: "--now" },
      { name: "allowEmpty", label: "Even if it is empty", kind: "check", flag: "--allow-empty" },
    ],
  },
  verify: {
    label: "Verify", long: true, says: () => "Rebuilds up to the exact position of the live generation, beside it, and compares row by row. Readers notice nothing.",
    fields: [{ name: "repair", label: "Repair: promote the rows built for the comparison where they differ", kind: "check", flag: "--repair" }],
  },
  "dead-letters-retry": {
    label: "Retry", title: "Retry dead letters of", primary: true, long: true, says: () => "Handles them in the order of their streams, with the installed plugin. A stream stops again at the first event that fails again.",
    fields: [
      { name: "stream", label: "Stream", flag: "--stream", placeholder: "all" },
      { name: "outOfOrder", label: "Out of order", kind: "check", flag: "--out-of-order" },
    ],
    plan: letters,
  },
  "dead-letters-discard": {
    label: "Discard", title: "Discard dead letters of", typed: true, needsReason: true, says: () => "The generation will never have these events. The history keeps them; a new rebuild meets them again.",
    fields: [{ name: "stream", label: "Stream", flag: "--stream", placeholder: "all" }],
    plan: letters,
  },
  drop: { label: "Drop", title: "Drop a generation of", typed: true, says: (p, body) => `Deletes generation ${body.generation} and its rows. This cannot be undone; a rebuild can make them again.` },
  swap: { label: "Swap plugin", file: true, long: true, says: () => "Replaces the plugin. An unfinished rebuild of the same shape goes on with it." },
  try: { label: "Try plugin", file: true, long: true, says: () => "Runs a candidate beside the installed plugin and shows how rows would differ. Keeps nothing." },
  "plugin-rollback": { label: "Previous plugin", says: () => "Replaces the plugin with the one before it." },
  install: { label: "Install plugin", file: true, long: true, says: () => "Registers the projection that the component describes." },
  import: { label: "Import events", file: true, long: true, says: () => "Adds the events of a file (one JSON object on each line) to the embedded log. Those that are there already are skipped." },
  "as-of": {
    label: "State as of", long: true, says: () => "Builds the state at an earlier position beside the live one. It is kept until it is dropped.",
    fields: [{ name: "to", label: "To: an event id, a position or a time", flag: "--to", required: true }, { name: "label", label: "Name", flag: "--name" }],
  },
};

export const labelOf = (name) => ACTIONS[name]?.label ?? name.replaceAll("-", " ");

/** "37 events of 5 streams, in order, by plugin f5d2": what a retry or a discard is about. */
async function letters(p, body) {
  const { deadLetters, next, cut } = await get(withQuery(`${projectionPath(p.name)}/dead-letters`, { stream: body.stream }));
  const streams = new Set(deadLetters.map((letter) => letter.stream));
  const more = next || cut ? "more than " : "";
  return [
    ["Events", more + count(deadLetters.length)], ["Streams", more + count(streams.size)],
    ["That failed themselves", count(deadLetters.filter((letter) => letter.error).length)],
    ["In order", p.plugin.partitioning === "stream" ? "yes, within each stream" : "yes, over all streams"], ["By plugin", short(p.plugin.digest)],
  ];
}

/** The command line that does the same as the dialog would. */
export function commandLine(action, body, file) {
  const { fields = [] } = ACTIONS[action.name] ?? {};
  let line = action.command;
  for (const { name, flag, kind } of fields) {
    const value = body[name];
    if (!value) continue;
    if (name === "stream") line = line.replace(/ --all\b/, "");
    // What the server leaves open, such as `--to X`, is filled in.
    if (flag && kind !== "check") line = line.replace(new RegExp(` ${flag} [A-Z]+\\b`), "");
    if (!flag) line += ` ${quoted(String(value))}`;
    else line += kind === "check" ? ` ${flag}` : ` ${flag} ${quoted(String(value))}`;
  }
  if (action.name === "drop" && body.generation) line = line.replace(/ (GENERATION|\{g\}|G)\b/, "").concat(` ${quoted(String(body.generation))}`);
  return file ? line.replace(/\bFILE\b/, quoted(file.name)) : line;
}

const ROLES = ["viewer", "operator", "admin"];

/** The action of this name, and whether it may be had: as things are, and by whoever looks. */
export function actionOf(of, name) {
  const action = of?.actions?.find((action) => action.name === name);
  const own = live.host?.caller?.role;
  if (!action?.allowed || !own || ROLES.indexOf(own) >= ROLES.indexOf(action.role)) return action;
  return { ...action, allowed: false, because: `needs the role ${action.role}; you are ${own}` };
}

/** The same, also where the server does not list it: then it is asked, and refuses what is not allowed. */
export function actionOr(p, name, method, path, command) {
  return actionOf(p, name) ?? { name, method, path: `${projectionPath(p.name)}/${path}`, allowed: true, command };
}
