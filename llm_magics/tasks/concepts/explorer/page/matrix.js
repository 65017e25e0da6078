// Concepts by slice as a table: a cell's shade is its share, its text the count and the share; a click opens it.
import { h, set } from "../../../../widgets/frontend/dom.js";
import { count, percent, shade, swatch } from "./palette.js";

const MANY = 7; // with more columns their heads stand upright

export function matrix(page) {
  const sentence = h("p", { class: "llmx-x-sentence" });
  const table = h("table", { class: "llmx-x-matrix" });
  const element = h("div", { class: "llmx-x-table" }, sentence, table);
  table.addEventListener("keydown", (event) => keys(event, table));
  return { element, draw: (value) => { set(sentence, { text: said(value), hidden: !said(value) }); table.replaceChildren(...drawn(page, value)); table.classList.toggle("llmx-x-many", value.groups.length > MANY); } };
}

function said({ sentence, column }) { return column ? sentence : "Choose a slice above to compare the concepts by it."; }

function drawn(page, { rows, groups, sizes, by, column }) {
  const what = by === "concept" ? "Share of the concept’s documents in each slice" : by === "slice" ? "Share of each slice that matches" : "Documents that match, and their share of the slice";
  const caption = h("caption", { class: "llmx-unseen", text: column ? `${what}, by ${column}` : what });
  const head = h("tr", {}, h("th", { scope: "col" }, h("span", { class: "llmx-unseen", text: "concept" })),
    groups.map((group, i) => h("th", { scope: "col" }, h("span", { class: "llmx-x-colname", title: group }, h("span", { text: group })), h("span", { class: "llmx-dim llmx-x-size", text: count(sizes[i]) }))));
  const share = (cell) => cell[by === "concept" ? 2 : 1];
  const top = Math.max(...rows.flatMap((row) => row.cells.slice(groups.length > 1 ? 1 : 0).map(share)), 1e-9);
  const body = rows.map((row, i) => h("tr", {},
    h("th", { scope: "row" }, h("button", { type: "button", class: "llmx-x-rowname", onclick: () => page.send("open", { concept: row.id, group: "all" }) }, swatch(row.number), h("span", { text: row.name }))),
    row.cells.map((cell, j) => h("td", {}, cellButton(page, row, cell, groups[j], { by, share: share(cell), depth: Math.min(1, share(cell) / top), focusable: !i && !j })))));
  return [caption, h("thead", {}, head), h("tbody", {}, body)];
}

function cellButton(page, row, cell, group, { by, share, depth, focusable }) {
  const main = by ? percent(share) : count(cell[0]), second = by ? count(cell[0]) : percent(cell[1]);
  return h("button", {
    type: "button", class: "llmx-x-cell", tabindex: focusable ? 0 : -1, "data-empty": cell[0] ? null : "yes",
    "aria-label": `${row.name}, ${group}: ${count(cell[0])} documents, ${percent(share)}`, title: `${row.name}\n${group}: ${count(cell[0])} documents\n${percent(cell[1])} of the slice, ${percent(cell[2])} of the concept`,
    style: { "--shade": cell[0] ? shade(row.number, depth) : "transparent" },
    onclick: () => page.send("open", { concept: row.id, group }),
  }, h("span", { class: "llmx-x-main", text: main }), h("span", { class: "llmx-x-second", text: second }));
}

function keys(event, table) {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (!step || !event.target.matches(".llmx-x-cell")) return;
  const cell = event.target.closest("td"), line = cell.parentElement;
  const next = table.rows[line.rowIndex + step[0]]?.cells[cell.cellIndex + step[1]]?.querySelector(".llmx-x-cell");
  if (!next) return;
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
  event.preventDefault();
}
