// Charts with uPlot: drawn on a canvas, so each has its numbers as a sentence, too.
import uPlot from "./vendor/uPlot.esm.js";
import { clock } from "./format.js";
import { html, useEffect, useRef } from "./html.js";

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
/** The cursors of all charts of a screen move together. */
const SYNC = "unspool";

/** `series`: [{name, values, tone: a CSS variable, dash?}], all over the times `at` (milliseconds). */
export function Chart({ title, at, series, format, height = 150, theme }) {
  const box = useRef(null);
  const plot = useRef(null);
  const shape = JSON.stringify([series.map((s) => s.name), theme, height]);
  const data = [at.map((ms) => ms / 1000), ...series.map((s) => s.values)];
  useEffect(() => {
    const axis = { stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const options = {
      width: box.current.clientWidth, height, legend: { show: false }, cursor: { sync: { key: SYNC }, y: false, points: { size: 6 } },
      scales: { x: { time: true }, y: { range: (_, _min, max) => [0, Math.max(4, max * 1.1)] } },
      axes: [{ ...axis, size: 26, space: 70, values: (_, ticks) => ticks.map((tick) => clock(tick * 1000).slice(0, 5)) }, { ...axis, size: 62, values: (_, ticks) => ticks.map((tick) => format(tick)) }],
      series: [{}, ...series.map((s) => ({ label: s.name, stroke: color(s.tone), width: s.dash ? 1.25 : 1.75, dash: s.dash, spanGaps: false, points: { show: false }, fill: series.length === 1 ? `${color(s.tone)}1f` : undefined }))],
      hooks: { setCursor: [(u) => read(u.cursor.idx)] },
    };
    const legend = box.current.parentNode.querySelectorAll("[data-value]");
    const read = (i) => series.forEach((s, n) => {
      const values = plot.current?.data[n + 1] ?? s.values;
      const value = i === null || i === undefined ? newest(values) : values[i];
      if (legend[n]) legend[n].textContent = value === null || value === undefined ? "–" : format(value);
    });
    plot.current = new uPlot(options, data, box.current);
    read(null);
    const element = box.current;
    const resize = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(data), [at, ...series.map((s) => s.values)]);
  return html`<figure class="chart"><figcaption><h3>${title}</h3><ul>${series.map((s) => html`<li>
    <i class=${`swatch${s.dash ? " dashed" : ""}`} style=${{ borderColor: `var(${s.tone})` }}></i>${s.name} <b data-value>–</b></li>`)}</ul></figcaption>
    <div ref=${box} class="plot" aria-hidden="true"></div><p class="unseen">${series.map((s) => summary(s, format)).join(" ")}</p></figure>`;
}

const newest = (values) => values.findLast((value) => value !== null && value !== undefined);

/** "Events per second: now 19,693, lowest 0, highest 21,004, average 18,200." */
function summary({ name, values }, format) {
  const known = values.filter((value) => value !== null && value !== undefined);
  if (!known.length) return `${name}: no values.`;
  const average = known.reduce((sum, value) => sum + value, 0) / known.length;
  return `${name}: latest ${format(known.at(-1))}, lowest ${format(Math.min(...known))}, highest ${format(Math.max(...known))}, average ${format(average)}.`;
}

const [W, H] = [120, 28];
const SPAN_MS = 15 * 60_000;

/** The rate of the last minutes as a line; gaps stay gaps. */
export function Spark({ points, label }) {
  const known = points.filter((point) => point.rate !== null && point.rate !== undefined);
  if (known.length < 2) return html`<svg class="spark" viewBox="0 0 ${W} ${H}" role="img" aria-label=${`${label}: it has not run`}>
    <path class="base" d=${`M0 ${H - 1}H${W}`} /></svg>`;
  const end = points.at(-1).at;
  const top = Math.max(...known.map((point) => point.rate), 1);
  let path = "";
  let last = null;
  for (const { at, rate } of points) {
    if (rate === null || rate === undefined) {
      last = null;
      continue;
    }
    const x = W - ((end - at) / SPAN_MS) * W;
    const y = H - 2 - (rate / top) * (H - 5);
    path += `${last !== null && at - last < 15_000 ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    last = at;
  }
  const text = `${label}: latest ${Math.round(known.at(-1).rate)}, highest ${Math.round(top)} events per second`;
  return html`<svg class="spark" viewBox=${`0 0 ${W} ${H}`} role="img" aria-label=${text}><path class="base" d=${`M0 ${H - 1}H${W}`} />
    <path class="line" d=${path} /></svg>`;
}
