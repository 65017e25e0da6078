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

const PAGES = { light: ["#f6f7f9", "#1c2128"], dark: ["#1f2228", "#e6e9ed"] }; // --llmx-raised and --llmx-ink of tokens.css
const DEEPEST = 50, READABLE = 4.6;

function parts(colour) { return [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)); }

function luminance(colour) {
  const [r, g, b] = colour.map((one) => one / 255).map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** The most of a colour, in percent, on which the page's ink has WCAG's contrast. */
function deepest(colour, [ground, ink]) {
  const light = luminance(parts(ink));
  for (let share = DEEPEST; share > 0; share -= 2) {
    const mixed = luminance(parts(colour).map((one, i) => (share * one + (100 - share) * parts(ground)[i]) / 100));
    if ((Math.max(mixed, light) + 0.05) / (Math.min(mixed, light) + 0.05) >= READABLE) return share;
  }
  return 0;
}

/** The ground of a cell: the n-th colour, from a touch of it at 0 to as much as text on it allows at 1. */
export function shade(n, depth) {
  const mixed = Object.entries(PAGES).map(([theme, page]) => {
    const one = inks(theme)[place(n)], most = deepest(one, page);
    return `color-mix(in srgb, ${one} ${Math.round(most * (0.12 + 0.88 * depth))}%, transparent)`;
  });
  return `light-dark(${mixed.join(", ")})`;
}

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
