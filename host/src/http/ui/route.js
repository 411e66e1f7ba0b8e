// Where one is, filters included, stands in the fragment of the address: it can be kept, sent, and gone back to.
import { useEffect, useState } from "./html.js";

export const SCREENS = ["now", "rebuild", "models", "dead-letters", "activity"];

/** `#/models/order-summary?view=rows&prefix=a` as its parts. */
export function read(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [screen, name] = path.split("/").map(decodeURIComponent);
  return { screen: SCREENS.includes(screen) ? screen : "now", name: name || null, query: new URLSearchParams(query) };
}

export function href(screen, name, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const path = name ? `#/${screen}/${encodeURIComponent(name)}` : `#/${screen}`;
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

export const go = (...where) => (location.hash = href(...where));

/** Changes filters in place: going back leads to the screen before, not through each letter typed. */
export function setQuery(change) {
  const { screen, name, query } = read();
  history.replaceState(null, "", href(screen, name, { ...Object.fromEntries(query), ...change }));
  dispatchEvent(new Event("hashchange"));
}

export function useRoute() {
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const listener = () => setRoute(read());
    addEventListener("hashchange", listener);
    return () => removeEventListener("hashchange", listener);
  }, []);
  return route;
}
