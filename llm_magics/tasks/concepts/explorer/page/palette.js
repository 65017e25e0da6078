// Colours and shapes of concepts and slices, the same as in Python's widgets/theme.py.
import { h } from "../../../../widgets/frontend/dom.js";

export const COLOURS = ["#0066aa", "#cf8400", "#009f72", "#b53f0b", "#c87ab4", "#5d88ff", "#7a9247", "#756273"];
export const NONE = "#858585";
const GLYPHS = ["●", "■", "◆", "▲", "✚", "✖", "★", "▼"];
export const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down"];

/** The colour of the n-th; -1 is none. */
export function colour(n) { return n < 0 ? NONE : COLOURS[n % 8]; }

/** Its shape: the first eight are circles, the next eight squares, and so on. */
export function shape(n) { return n < 0 ? 0 : Math.floor(n / 8) % 8; }

/** A swatch: the shape in the colour, for eyes only. */
export function swatch(n) {
  return h("span", { class: "llmx-swatch", "aria-hidden": "true", style: { color: colour(n) }, text: n < 0 ? "○" : GLYPHS[shape(n)] });
}

/** 0.123 as 12%. */
export function percent(share) { return `${Math.round(share * 100)}%`; }

/** An interval of shares as 9–15%, with decimals where its ends would look the same. */
export function interval(low, high) {
  const digits = high - low < 0.015 ? 1 : 0;
  return `${(low * 100).toFixed(digits)}–${(high * 100).toFixed(digits)}%`;
}

/** 1234 as 1,234. */
export function count(n) { return n.toLocaleString("en-US"); }
