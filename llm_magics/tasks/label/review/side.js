// How the review stands: rows done, how often the label was right, and a person's labels so far.
import { h, set, keyed } from "../../../widgets/frontend/dom.js";
import { labelName } from "./pieces.js";

const percent = (share) => `${Math.round(100 * share)}%`;
const number = (n) => n.toLocaleString("en");

/** The progress, the accuracy with its interval, the distribution. */
export function sideView(review) {
  const rows = h("p", { class: "llmx-review-rows" }), fill = h("span", { class: "llmx-fill" });
  const right = h("p"), note = h("p", { class: "llmx-dim llmx-small" }), agreement = h("p", { class: "llmx-small" });
  const range = h("span", { class: "llmx-review-range" }), point = h("span", { class: "llmx-review-point" });
  const interval = h("div", { class: "llmx-review-interval", "aria-hidden": "true" }, range, point);
  const heading = h("h3", { class: "llmx-heading", text: "Your labels so far" }), list = h("div", { class: "llmx-review-counts" });
  const box = h("div", { class: "llmx-review-side", role: "group", "aria-label": "Progress" },
    h("div", {}, h("h3", { class: "llmx-heading", text: "Progress" }), rows, h("span", { class: "llmx-track", "aria-hidden": "true" }, fill)),
    h("div", {}, h("h3", { class: "llmx-heading", text: "Accuracy so far" }), right, interval, note, agreement),
    h("div", {}, heading, list));

  function draw() {
    const { progress, setup } = review;
    if (!progress) return;
    set(rows, { text: `${number(progress.reviewed)} of ${number(progress.rows)} rows reviewed, ${number(progress.corrected)} corrected` });
    fill.style.width = `${(100 * progress.reviewed) / Math.max(1, progress.rows)}%`;
    const known = progress.accuracy !== null;
    set(interval, { hidden: !known });
    set(note, { hidden: !known, text: progress.note });
    set(right, { class: known ? "" : "llmx-dim", text: known ? accuracy(progress) : unknown(progress) });
    if (known) {
      range.style.left = percent(progress.low);
      range.style.width = percent(progress.high - progress.low);
      point.style.left = percent(progress.accuracy);
    }
    set(agreement, { text: progress.agreement, hidden: !progress.agreement });
    drawCounts(progress, setup);
  }

  function drawCounts(progress, setup) {
    const entries = setup.labels.map((label, n) => ({ ...label, n, rows: progress.counts[n] }));
    if (progress.none) entries.push({ text: "none of them", n: -1, rows: progress.none, colour: "" });
    const shown = entries.length > 12 ? entries.filter((one) => one.rows).sort((a, b) => b.rows - a.rows).slice(0, 12) : entries;
    const most = Math.max(1, ...entries.map((one) => one.rows));
    set(heading, { hidden: !progress.reviewed });
    set(list, { hidden: !progress.reviewed });
    keyed(list, shown, (one) => one.n, count, (element, one) => {
      set(element.lastChild, { text: number(one.rows) });
      const bar = element.querySelector(".llmx-fill");
      bar.style.width = `${(100 * one.rows) / most}%`;
      if (one.colour) bar.style.background = one.colour;
    });
  }

  return { box, draw };
}

function count(one) {
  return h("div", { class: "llmx-review-count" }, labelName(one), h("span", { class: "llmx-track", "aria-hidden": "true" }, h("span", { class: "llmx-fill" })), h("span", { class: "llmx-number" }));
}

function unknown(progress) {
  if (progress.blind) return "No label of the model is shown.";
  return progress.reviewed ? "No row with a label of the model is reviewed yet." : "No row is reviewed yet.";
}

function accuracy(progress) {
  const what = progress.overlap === null ? "Label right in" : "All labels right in";
  const shared = progress.overlap === null ? "" : `; ${percent(progress.overlap)} of a row's labels on average`;
  return `${what} ${percent(progress.accuracy)} (95% interval ${percent(progress.low)} to ${percent(progress.high)})${shared}`;
}
