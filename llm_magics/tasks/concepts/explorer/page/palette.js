// Colours and shapes of concepts and slices, the same as in Python's widgets/theme.py.
import { h } from "../../../../widgets/frontend/dom.js";

const LIGHT = ["#0066aa", "#cf8400", "#009f72", "#b53f0b", "#c87ab4", "#5d88ff", "#7a9247", "#756273", "#863636", "#512836", "#511b79", "#86000d", "#a179d7", "#6b0051", "#0d43a1", "#5e5186", "#28430d", "#36791b", "#866b43", "#516b51"];
const DARK = ["#4679fe", "#d5890c", "#3adc99", "#dc5d54", "#fbadd3", "#a4bbff", "#b2ce6c", "#ad68c2", "#a186ae", "#c9e4ff", "#00a1ff", "#ffd7c9", "#289451", "#6b9479", "#a1f2a1", "#f286d7", "#868628", "#aeae79", "#5ebc94", "#c9ae43"];
const NONE = { light: "#858585", dark: "#8b8f94" };
const GLYPHS = ["●", "■", "◆", "▲", "✚", "✖", "★", "▼"];
export const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down"];

/** The colours of a theme, for what CSS doesn't draw: that of none, then the others. */
export function inks(theme) { return [NONE[theme], ...(theme === "dark" ? DARK : LIGHT)]; }

/** The place of the n-th among them. */
export function place(n) { return n < 0 ? 0 : (n % LIGHT.length) + 1; }

/** The colour of the n-th as CSS, which follows the page; -1 is none. */
export function colour(n) { return `light-dark(${inks("light")[place(n)]}, ${inks("dark")[place(n)]})`; }

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
