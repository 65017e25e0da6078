// The explorer's page: a bar, the concepts, map or matrix or prevalence, and what the documents say.
import { panel } from "../../../../widgets/frontend/panel.js";
import { button, h, icon, segments, select, set } from "../../../../widgets/frontend/dom.js";
import { openMenu } from "../../../../widgets/frontend/menu.js";
import { conceptList } from "./list.js";
import { documentMap } from "./map.js";
import { matrix } from "./matrix.js";
import { prevalence } from "./prevalence.js";
import { detailPane } from "./detail.js";

const BY = [["", "counts"], ["concept", "share of the concept"], ["slice", "share of the slice"]];

export default panel((page) => {
  const bar = topBar(page);
  const list = conceptList(page);
  const map = documentMap(page), table = matrix(page), shares = prevalence(page);
  const tools = toolbar(page);
  const detail = detailPane(page);
  const views = { Map: map.element, Matrix: table.element, Prevalence: shares.element };
  const middle = h("div", { class: "llmx-x-middle" }, tools.element, ...Object.values(views));
  const report = h("span", { class: "llmx-x-report" });
  const foot = h("div", { class: "llmx-x-foot" }, page.status, report);
  page.root.classList.add("llmx-x");
  page.root.append(bar.element, h("div", { class: "llmx-x-body" }, list.element, middle, detail.element), foot);
  undoKeys(page);
  return {
    head: (head) => { bar.draw(head); set(report, { text: head.report.split("\n")[0], title: head.report }); },
    view: (view) => {
      tools.draw(view);
      bar.drawSearch(view);
      Object.entries(views).forEach(([name, element]) => { element.hidden = name !== view.view; });
      if (view.view === "Map") map.shown();
    },
    list: list.draw,
    map: (value) => { if (value) map.draw(value); },
    lit: (value) => { if (value) map.light(value); },
    matrix: (value) => { if (value) table.draw(value); },
    prevalence: (value) => { if (value) shares.draw(value); },
    detail: detail.draw,
  };
});

function topBar(page) {
  const title = h("h2", { class: "llmx-title llmx-x-title" });
  const field = h("input", {
    class: "llmx-input", type: "search", placeholder: "Search documents", "aria-label": "Search the documents",
    oninput: () => { clearTimeout(timer); timer = setTimeout(ask, 200); },
    onkeydown: (event) => { if (event.key === "Escape" && field.value) { field.value = ""; ask(); } },
  });
  let timer = null, asked = "";
  const ask = () => { asked = field.value.trim(); page.send("search", { query: asked }); };
  const undo = button({ icon: "undo", text: "Undo" }, () => page.send("undo"));
  const redo = button({ icon: "redo", text: "Redo" }, () => page.send("redo"));
  const score = button({ text: "Score" }, () => page.send("rescore"));
  let head = null;
  const more = button({ icon: "more", title: "More actions", "aria-haspopup": "menu", "aria-expanded": "false" }, () => openMenu(page.root, more, [
    { text: "Score what is missing", off: !head.score.can, title: "Also asks again what failed; the cost is shown first", act: () => page.send("rescore") },
    { text: "Export concepts.json and .html", act: () => page.send("export") },
    { text: "Copy the edits as Python", act: async () => { await navigator.clipboard.writeText(await page.ask("code")); page.say("The edits are in the clipboard, as Python."); } },
    null,
    { text: "Tick all concepts", off: head.ticked === head.all, act: () => page.send("all") },
    { text: "Untick all concepts", off: !head.ticked, act: () => page.send("none") },
  ]));
  const element = h("div", { class: "llmx-x-bar llmx-bar" }, title, h("div", { class: "llmx-search llmx-x-search" }, icon("search"), field),
    h("div", { class: "llmx-row llmx-x-acts", role: "group", "aria-label": "Edits" }, undo, redo, score, more));
  const fill = (control, word, keys, edit) => {
    const said = edit ? `${word} ${edit[1]} (${keys})` : `Nothing to ${word.toLowerCase()}`;
    set(control.querySelector("span"), { text: edit ? `${word} ${edit[0]}` : word });
    set(control, { title: said, "aria-label": said });
    control.disabled = !edit;
  };
  return {
    element,
    draw(value) {
      head = value;
      const [count, ...rest] = value.title.split(", ").filter((part) => !part.startsWith("0 "));
      title.replaceChildren(count, ...(rest.length ? [h("span", { class: "llmx-dim llmx-x-rest", text: rest.join(", ") })] : []));
      fill(undo, "Undo", "Ctrl+Z", value.undo);
      fill(redo, "Redo", "Ctrl+Shift+Z", value.redo);
      const { text, stale, running, can } = value.score;
      const say = stale ? `${stale} ticked concepts have no scores yet` : "All ticked concepts are scored";
      set(score.querySelector("span"), { text: stale && !running ? `${text} ${stale}` : text });
      set(score, { title: running ? "Stop scoring; what was answered is kept" : `${say}. The cost is shown first.` });
      score.classList.toggle("llmx-button-main", running || stale > 0);
      score.hidden = !can || !(stale || running);
    },
    /** What is typed stays while its answer is on the way; a search that ended elsewhere empties the field. */
    drawSearch(view) { if (view.query !== asked) { asked = view.query; set(field, { value: view.query }); } },
  };
}

function toolbar(page) {
  const tabs = segments("View", (view) => page.send("show", { view }));
  const slice = select("Slices", (column) => page.send("slice", { column }));
  const colour = select("Colour", (value) => page.send("colour", { colour: value }));
  const by = select("Show", (value) => page.send("by", { by: value }));
  const element = h("div", { class: "llmx-x-tools llmx-row llmx-wrap" }, tabs.box, colour.field, slice.field, by.field);
  return {
    element,
    draw(view) {
      tabs.fill([["Map", "Map"], ["Matrix", "Matrix"], ["Prevalence", "Prevalence"]], view.view);
      const columns = view.columns.map((name) => [`slice:${name}`, name]);
      const score = view.concept ? [["score", `score of ${short(view.concept)}`]] : [];
      colour.fill([["concept", "concept"], ...(columns.length ? [["Slices", columns]] : []), ...(score.length ? [["Score", score]] : [])], view.colour);
      slice.fill([["", "none"], ...view.columns.map((name) => [name, name])], view.column);
      by.fill(BY, view.by);
      colour.field.hidden = view.view !== "Map";
      by.field.hidden = view.view !== "Matrix";
      slice.field.hidden = !view.columns.length;
    },
  };
}

function short(name) { return name.length > 28 ? `${name.slice(0, 27)}…` : name; }

function undoKeys(page) {
  page.root.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.target.matches("input, textarea")) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    page.send(key === "y" || event.shiftKey ? "redo" : "undo");
  });
}
