// Light or dark: as the system has it, or as was chosen here before.
import { useEffect, useState } from "./html.js";

const KEY = "unspool-theme";
const stored = () => {
  try {
    return localStorage.getItem(KEY) ?? "system";
  } catch {
    return "system";
  }
};

export function applyTheme(theme = stored()) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

/** What was chosen, how to choose, and which of the two it comes to: charts are drawn in its colours. */
export function useTheme() {
  const [theme, setTheme] = useState(stored);
  const [, draw] = useState(0);
  useEffect(() => {
    const system = matchMedia("(prefers-color-scheme: dark)");
    const listener = () => draw((n) => n + 1);
    system.addEventListener("change", listener);
    return () => system.removeEventListener("change", listener);
  }, []);
  const choose = (next) => {
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // Without storage it holds for as long as the page is open.
    }
    applyTheme(next);
    setTheme(next);
  };
  const dark = theme === "system" ? matchMedia("(prefers-color-scheme: dark)").matches : theme === "dark";
  return [theme, choose, dark ? "dark" : "light"];
}
