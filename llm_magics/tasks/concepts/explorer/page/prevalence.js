// How many documents show each concept: a dot at the share, a line over its 95% interval, in all or by slice.
import { h, set } from "../../../../widgets/frontend/dom.js";
import { colour, count, interval, percent, swatch } from "./palette.js";

export function prevalence(page) {
  const sentence = h("p", { class: "llmx-x-sentence" });
  const chart = h("div", { class: "llmx-x-shares", role: "list", "aria-label": "Share of documents by concept, with 95% intervals" });
  const legend = h("div", { class: "llmx-x-legend" });
  const axis = h("div", { class: "llmx-x-axis", "aria-hidden": "true" });
  const element = h("div", { class: "llmx-x-table" }, sentence, legend, axis, chart);
  return {
    element,
    draw(value) {
      set(sentence, { text: value.column ? value.sentence : "Share of the documents that match, with 95% intervals (Wilson)." });
      const sliced = value.groups.length > 1;
      const parts = sliced ? value.groups.slice(1) : [];
      legend.hidden = !sliced;
      legend.replaceChildren(h("span", { class: "llmx-dim", text: value.column }), ...parts.map((name, i) => h("span", { class: "llmx-x-entry" }, swatch(i), name)));
      const top = ceiling(Math.max(...value.rows.flatMap((row) => (sliced ? row.shares.slice(1) : row.shares).map((one) => one[3])), 0.01));
      axis.replaceChildren(h("span"), h("span", { class: "llmx-x-ticks" }, ticks(top).map((tick) => h("span", { style: { left: `${(100 * tick) / top}%` }, text: percent(tick) }))), h("span"));
      chart.replaceChildren(...value.rows.map((row) => line(page, row, value.groups, sliced, top)));
    },
  };
}

function line(page, row, groups, sliced, top) {
  const at = (share) => `${Math.min(100, (100 * share) / top)}%`;
  const shown = sliced ? row.shares.slice(1) : row.shares;
  const said = ([n, share, low, high]) => `${percent(share)}, ${percent(low)} to ${percent(high)}, ${count(n)} documents`;
  const words = shown.map((one, i) => `${sliced ? groups[i + 1] : "all"}: ${said(one)}`);
  const marks = shown.map(([, share, low, high], i) => h("span", { class: "llmx-x-mark", title: words[i] },
    h("span", { class: "llmx-x-whisker", style: { left: at(low), width: at(high - low), background: colour(sliced ? i : row.number) } }),
    h("span", { class: "llmx-x-dot", style: { left: at(share), background: colour(sliced ? i : row.number) } })));
  const [n, share, low, high] = row.shares[0];
  return h("div", { class: "llmx-x-line", role: "listitem" },
    h("button", { type: "button", class: "llmx-x-rowname", "aria-label": `${row.name}. ${words.join(". ")}`, onclick: () => page.send("open", { concept: row.id, group: "all" }) }, swatch(row.number), h("span", { text: row.name })),
    h("span", { class: "llmx-x-lane", "aria-hidden": "true" }, ticks(top).map((tick) => h("span", { class: "llmx-x-grid", style: { left: at(tick) } })), h("span", { class: "llmx-x-marks" }, marks)),
    h("span", { class: "llmx-number llmx-x-value" }, h("b", { text: percent(share) }), h("span", { class: "llmx-dim", text: ` ${interval(low, high)}` }), h("span", { class: "llmx-dim llmx-x-n", text: count(n) })));
}

function ceiling(share) { return [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1].find((top) => share <= top) ?? 1; }

function ticks(top) {
  const step = top <= 0.05 ? 0.01 : top <= 0.1 ? 0.02 : top <= 0.3 ? 0.05 : top <= 0.6 ? 0.1 : 0.2;
  return Array.from({ length: Math.round(top / step) + 1 }, (_, i) => i * step);
}
