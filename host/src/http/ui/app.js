// The frame: rail, top bar, keys, signing in; and which screen is shown.
import { Activity } from "./activity.js";
import { signIn, signOut } from "./api.js";
import { DeadLetters } from "./dead_letters.js";
import { Dialogs, Modal } from "./dialog.js";
import { clock } from "./format.js";
import { html, render, useEffect, useRef, useState } from "./html.js";
import { begin, connect, live, useLive } from "./live.js";
import { Models } from "./models.js";
import { Now, pauseOrResume } from "./now.js";
import { announce, Command, ProblemNote } from "./parts.js";
import { Rebuild } from "./rebuild.js";
import { href, read, useRoute } from "./route.js";
import { needs } from "./status.js";
import { applyTheme, useTheme } from "./theme.js";

const RAIL = [
  ["now", "Now", "M3 13.5h3.5L9 6l4 12 3-8 1.5 3.5H21"],
  ["rebuild", "Rebuild", "M20 12a8 8 0 1 1-2.6-5.9M20 3v4.5h-4.5"],
  ["models", "Read models", "M4 6c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3zm0 0v12c0 1.7 3.6 3 8 3s8-1.3 8-3V6M4 12c0 1.7 3.6 3 8 3s8-1.3 8-3"],
  ["dead-letters", "Dead letters", "M3 6h18v12H3zM3 7l9 6 9-6"],
  ["activity", "Activity", "M5 5h14M5 10h14M5 15h9M5 20h6"],
];
const SCREENS = { now: Now, rebuild: Rebuild, models: Models, "dead-letters": DeadLetters, activity: Activity };
const LIGHTS = { live: "live", hidden: "paused", starting: "connecting", lost: "no answer" };

function App() {
  const { phase, light, asOf, host, projections, loaded, problem } = useLive();
  const route = useRoute();
  const [theme, setTheme, colours] = useTheme();
  const [help, setHelp] = useState(false);
  const main = useRef(null);
  useKeys(() => setHelp(true));
  useEffect(() => {
    // A screen reader that follows a link is to begin with the new screen; the first one is where it begins anyway.
    if (main.current?.dataset.screen && main.current.dataset.screen !== `${route.screen}/${route.name}`) {
      main.current.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    if (main.current) main.current.dataset.screen = `${route.screen}/${route.name}`;
    document.title = `${route.name ? `${route.name}, ` : ""}${RAIL.find(([id]) => id === route.screen)[1]} · ${host?.name ?? "Unspool"}`;
  }, [route.screen, route.name, host?.name]);
  // Ages grow although nothing is heard.
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 10_000);
    return () => clearInterval(timer);
  }, []);
  if (phase === "out") return html`<${SignIn} problem=${problem} /><${Said} />`;
  const Screen = SCREENS[route.screen];
  const name = route.name ?? (["rebuild", "models", "dead-letters"].includes(route.screen) && projections.length === 1 ? projections[0].name : null);
  const attention = projections.filter((p) => needs.failed(p) || needs.stalled(p)).length;
  const parked = projections.filter((p) => p.deadLetters > 0).length;
  const badge = { now: attention, "dead-letters": parked };
  return html`<a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus({ preventScroll: true }); }}>To the content</a>
    <div class=${`frame${host?.production ? " production" : ""}`}>
    <header class="top"><a class="brand" href=${href("now")} aria-label="Unspool"><svg viewBox="0 0 32 32" aria-hidden="true">
      <path d="M9 7h14M9 25h14M11 12h10M11 16h10M11 20h10c4 0 4 5 7 5" /></svg><b>Unspool</b></a>
      <span class="host-name">${host?.name ?? "…"}</span>${host?.production && html`<strong class="production-badge">PRODUCTION</strong>`}
      <span class=${`light ${light}`} role="status" data-light=${light}>
        <i aria-hidden="true"></i>${LIGHTS[light]}${light === "lost" && asOf ? `, as of ${clock(asOf)}` : light === "live" && asOf ? html`<span class="asof" aria-hidden="true"> · ${clock(asOf)}</span>` : ""}</span>
      <span class="grow"></span>
      ${host?.alerts && html`<a class="alerts" href=${href("activity", null, { tab: "host" })}>
        ${host.alerts.length ? `${host.alerts.length} ${host.alerts.length === 1 ? "alert" : "alerts"}` : "no alerts"}</a>`}
      <span class="role" title="Your role">${host?.caller ? `${host.caller.name ?? ""} · ${host.caller.role}` : ""}</span>
      <label class="theme"><span class="unseen">Colours</span>
        <select value=${theme} onChange=${(event) => setTheme(event.target.value)}>
        ${["system", "light", "dark"].map((one) => html`<option value=${one}>${one}</option>`)}</select></label>
      <button type="button" class="tiny help" aria-label="Keys and help" onClick=${() => setHelp(true)}>?</button></header>
    <nav class="rail" aria-label="Screens"><ul>${RAIL.map(([id, label, path]) => html`<li>
      <a href=${href(id, ["rebuild", "models", "dead-letters"].includes(id) ? route.name : null)} aria-current=${id === route.screen ? "page" : undefined}>
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d=${path} /></svg>
      <span>${label}</span>${badge[id] ? html`<em>${badge[id]}<span class="unseen"> ${id === "now" ? "need somebody" : "projections with some"}</span>
      </em>` : ""}</a></li>`)}</ul></nav>
    <main id="main" ref=${main} tabindex="-1" class=${light === "lost" ? "stale" : ""}>
      ${light === "lost" && html`<div class="banner" role="alert">
        <strong>The host does not answer.</strong> ${asOf ? `What you see is as of ${clock(asOf)}.` : ""} The page goes on by itself when it is back: <${Command} line="unspool serve" /></div>`}
      ${!loaded ? html`<h1>${light === "lost" ? "No answer yet" : "Connecting"}</h1>
        <${ProblemNote} problem=${light === "lost" ? null : problem} />` : html`<${Screen} key=${route.screen + name} name=${name} query=${route.query} theme=${colours} />`}
    </main></div>
    <${Dialogs} /><${Said} />${help && html`<${Help} onClose=${() => setHelp(false)} />`}`;
}

/** A one-time code or a token; also the whole address that `unspool ui` prints. */
function SignIn({ problem: before }) {
  const [kind, setKind] = useState("code");
  const [refused, setProblem] = useState(null);
  const problem = refused ?? before;
  const submit = async (event) => {
    event.preventDefault();
    const secret = event.target.elements.secret.value.trim();
    try {
      await signIn({ [kind]: /[#&]code=([^&]+)/.exec(secret)?.[1] ?? secret });
      await connect();
    } catch (why) {
      setProblem(why);
    }
  };
  return html`<main class="signin"><form class="stack" onSubmit=${submit}><h1>Sign in</h1>
    <p>On the machine of the host, this prints an address with a one-time code:</p><p><${Command} line="unspool ui --print" /></p>
    <fieldset class="segments"><legend class="unseen">What you have</legend>
      ${[["code", "One-time code"], ["token", "Token"]].map(([id, name]) => html`<label>
      <input type="radio" name="kind" checked=${kind === id} onChange=${() => setKind(id)} /><span>${name}</span></label>`)}</fieldset>
    <label class="field"><span>${kind === "code" ? "The code, or the whole address" : "The token"}</span>
      <input name="secret" type="password" required autocomplete="off" autofocus /></label>
    ${problem && html`<${ProblemNote} problem=${problem} />`}<footer><button type="submit" class="primary">Sign in</button></footer></form></main>`;
}

/** What was said last, for a few seconds; read out to those who do not see it. */
function Said() {
  const [said, setSaid] = useState([]);
  useEffect(() => {
    const listener = ({ detail }) => {
      setSaid((old) => [...old.slice(-2), detail]);
      setTimeout(() => setSaid((old) => old.filter((one) => one.id !== detail.id)), 6000);
    };
    addEventListener("announce", listener);
    return () => removeEventListener("announce", listener);
  }, []);
  return html`<div class="said" role="status" aria-live="polite">${said.map(({ text, tone, id }) => html`<p key=${id} class=${tone}>${text}</p>`)}</div>`;
}

const KEYS = [["/", "to the filter"], ["j  k", "to the next, the previous row"], ["Enter", "open the row"], ["p", "pause or resume the row, or this projection"], ["g then n r m d a", "to a screen"], ["?", "this help"], ["Esc", "close"]];

function Help({ onClose }) {
  const leave = async () => {
    await signOut().catch(() => {});
    location.reload();
  };
  return html`<${Modal} title="Keys" onClose=${onClose}><div class="stack"><dl class="keys">${KEYS.map(([key, what]) => html`<div>
    <dt>${key.split(/\s+/).map((one) => (one === "then" ? " then " : html`<kbd>${one}</kbd> `))}</dt><dd>${what}</dd></div>`)}</dl>
    <p class="quiet">Each button has the command that does the same in its dialog. ${live.host ? `Unspool ${live.host.version}.` : ""}</p><footer>
      <button type="button" onClick=${leave}>Sign out</button><button type="button" class="primary" onClick=${onClose}>Close</button></footer></div><//>`;
}

function useKeys(help) {
  const prefix = useRef(0);
  useEffect(() => {
    const listener = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      const field = event.target.closest("input, select, textarea");
      if (event.key === "Escape" && field) return field.blur();
      if (field && field.type !== "checkbox") return;
      const screen = { n: "now", r: "rebuild", m: "models", d: "dead-letters", a: "activity" }[event.key];
      if (Date.now() - prefix.current < 1000 && screen) {
        prefix.current = 0;
        return void (location.hash = href(screen));
      }
      if (event.key === "g") prefix.current = Date.now();
      const rows = [...document.querySelectorAll("main [data-row]")];
      const here = rows.indexOf(document.activeElement?.closest("[data-row]"));
      if (event.key === "/") {
        event.preventDefault();
        document.querySelector("[data-filter]")?.focus();
      } else if (event.key === "?") help();
      else if (event.key === "j" || event.key === "k") rows.at(event.key === "j" ? Math.min(here + 1, rows.length - 1) : Math.max(here - 1, 0))?.focus();
      else if (event.key === "Enter" && here >= 0 && event.target === rows[here]) rows[here].querySelector("a, button")?.click();
      else if (event.key === "p") {
        const name = rows[here]?.dataset.name ?? read().name;
        name ? pauseOrResume(name) : announce("Choose a row with j and k first.", "warn");
      }
    };
    addEventListener("keydown", listener);
    return () => removeEventListener("keydown", listener);
  }, []);
}

applyTheme();
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
begin();
