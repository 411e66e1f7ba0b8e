// What every module of the page draws with.
import { h, render, Fragment } from "./vendor/preact.module.js";
import htm from "./vendor/htm.module.js";

export const html = htm.bind(h);
export { render, Fragment };
export { useState, useEffect, useLayoutEffect, useMemo, useRef, useCallback } from "./vendor/hooks.module.js";
