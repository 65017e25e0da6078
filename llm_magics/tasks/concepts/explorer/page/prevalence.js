// How many documents show each concept: a dot at the share, a line over its 95% interval, in all or by slice.
import { h, set } from "../../../../widgets/frontend/dom.js";
import { colour, count, interval, percent, swatch } from "./palette.js";

const GLYPH = 2.6; // a letter's width, in percent of a lane
const MANY = 6; // more slices than that can't each have a colour and a line: dots on one line, the highest named

export function prevalence(page) {
  const sentence = h("p", { class: "llmx-x-sentence" });
  const chart = h("div", { class: "llmx-x-shares", role: "list", "aria-label": "Share of documents by concept, with 95% intervals" });
  const legend = h("div", { class: "llmx-x-legend" });
  const axis = h("div", { class: "llmx-x-axis", "aria-hidden": "true" });
  const element = h("div", { class: "llmx-x-table" }, sentence, legend, axis, chart);
  return {
    element,
    draw(value) {
      const parts = value.groups.slice(1), how = !parts.length ? "whole" : parts.length > MANY ? "strip" : "slices";
      set(sentence, { text: value.column ? value.sentence : "Share of the documents that match, with 95% intervals (Wilson)." });
      legend.hidden = how === "whole";
      if (how === "slices") legend.replaceChildren(h("span", { class: "llmx-dim", text: value.column }), ...parts.map((name, i) => h("span", { class: "llmx-x-entry" }, swatch(i), name)));
      else legend.replaceChildren(h("span", { class: "llmx-dim", text: `A dot is a slice by ${value.column}; the one with the highest share is named, with its interval.` }));
      element.classList.toggle("llmx-x-plainrows", how === "slices"); // colours are the slices' there
      const top = ceiling(Math.max(...value.rows.flatMap((row) => (parts.length ? row.shares.slice(1) : row.shares).map((one) => one[3])), 0.01));
      axis.replaceChildren(h("span"), h("span", { class: "llmx-x-ticks" }, ticks(top).map((tick) => h("span", { style: { left: `${(100 * tick) / top}%` }, text: percent(tick) }))), h("span", { class: "llmx-number", text: parts.length ? "all documents" : "" }));
      chart.replaceChildren(...value.rows.map((row) => line(page, row, value.groups, how, top)));
    },
  };
}

function line(page, row, groups, how, top) {
  const at = (share) => `${Math.min(100, (100 * share) / top)}%`;
  const shown = how === "whole" ? row.shares : row.shares.slice(1);
  const said = ([n, share, low, high]) => `${percent(share)}, ${percent(low)} to ${percent(high)}, ${count(n)} documents`;
  const words = shown.map((one, i) => `${how === "whole" ? "all" : groups[i + 1]}: ${said(one)}`);
  const dot = (share, ink, kind = "") => h("span", { class: `llmx-x-dot ${kind}`, style: { left: at(share), background: ink } });
  const whisker = ([, , low, high], ink) => h("span", { class: "llmx-x-whisker", style: { left: at(low), width: at(high - low), background: ink } });
  const marks = how === "strip" ? [strip(row, groups, shown, words, { at, dot, whisker })]
    : shown.map((one, i) => { const ink = colour(how === "slices" ? i : row.number); return h("span", { class: "llmx-x-mark", title: words[i] }, whisker(one, ink), dot(one[1], ink)); });
  const [n, share, low, high] = row.shares[0];
  return h("div", { class: "llmx-x-line", role: "listitem" },
    h("button", { type: "button", class: "llmx-x-rowname", "aria-label": `${row.name}. ${words.join(". ")}`, onclick: () => page.send("open", { concept: row.id, group: "all" }) }, swatch(row.number), h("span", { text: row.name })),
    h("span", { class: "llmx-x-lane", "aria-hidden": "true" }, ticks(top).map((tick) => h("span", { class: "llmx-x-grid", style: { left: at(tick) } })), h("span", { class: "llmx-x-marks" }, marks)),
    h("span", { class: "llmx-number llmx-x-value" }, h("b", { text: percent(share) }), h("span", { class: "llmx-dim", text: ` ${interval(low, high)}` }), h("span", { class: "llmx-dim llmx-x-n", text: count(n) })));
}

/** All slices on one line; the highest with its interval and its name, on the side that has room. */
function strip(row, groups, shown, words, { at, dot, whisker }) {
  const best = shown.reduce((top, one, i) => (one[1] > shown[top][1] ? i : top), 0), ink = colour(row.number);
  const next = Math.max(0, ...shown.filter((_, i) => i !== best).map((one) => one[1]));
  const [low, high, rest] = [shown[best][2], shown[best][3], next].map((share) => parseFloat(at(share)));
  const wide = GLYPH * (groups[best + 1].length + 2), right = 100 - high >= Math.min(wide, low - rest) && !(low - rest >= wide && 100 - high < wide);
  const style = right ? { left: `calc(${high}% + 6px)`, "max-width": `calc(${100 - high}% + 4px)` } : { right: `calc(${100 - low}% + 6px)`, "max-width": `calc(${low}% - 12px)` };
  const name = h("span", { class: "llmx-x-best", style, text: groups[best + 1] });
  return h("span", { class: "llmx-x-mark", title: words.join("\n") }, shown.map(([, share], i) => (i === best ? null : dot(share, ink, "llmx-x-dim"))), whisker(shown[best], ink), dot(shown[best][1], ink), name);
}

function ceiling(share) { return [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1].find((top) => share <= top) ?? 1; }

function ticks(top) {
  const step = top <= 0.05 ? 0.01 : top <= 0.1 ? 0.02 : top <= 0.3 ? 0.05 : top <= 0.6 ? 0.1 : 0.2;
  return Array.from({ length: Math.round(top / step) + 1 }, (_, i) => i * step);
}
