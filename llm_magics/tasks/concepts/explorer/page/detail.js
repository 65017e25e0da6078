// What the documents say: a concept with its matches and near misses, a page of documents, or one document.
import { button, h, marked, segments, select, set } from "../../../../widgets/frontend/dom.js";
import { colour, count, interval, percent, swatch } from "./palette.js";

const NAMES = { matches: "Matches", "near misses": "Near misses", "non-matches": "Others", failed: "Failed", "not asked": "Not asked" };

export function detailPane(page) {
  const head = h("div", { class: "llmx-x-dhead" });
  const modes = segments("Documents", (mode) => page.send("mode", { mode }));
  const group = select("in", (value) => page.send("narrow", { group: value }));
  const tools = h("div", { class: "llmx-row llmx-wrap llmx-x-dtools" }, modes.box);
  const documents = h("div", { class: "llmx-x-documents" });
  const back = button({ icon: "left", title: "Previous page" }, () => page.send("turn", { pages: -1 }));
  const forth = button({ icon: "right", title: "Next page" }, () => page.send("turn", { pages: 1 }));
  const where = h("span", { class: "llmx-dim llmx-small llmx-number" });
  const pager = h("div", { class: "llmx-row llmx-x-pager" }, where, group.field, h("span", { class: "llmx-grow" }), back, forth);
  const scroll = h("div", { class: "llmx-x-dscroll", tabindex: 0, role: "region", "aria-label": "Concept and documents" }, head, tools, documents);
  const element = h("div", { class: "llmx-x-detail" }, scroll, pager);
  let shown = "";
  return {
    element,
    draw(value) {
      const now = JSON.stringify([value.kind, value.id, value.row, value.title, value.mode, value.group, value.page]);
      if (now !== shown) { scroll.scrollTop = 0; shown = now; }
      const editing = head.querySelector("textarea");
      if (!(editing && editing.dataset.id === value.id)) head.replaceChildren(...heads[value.kind](page, value));
      element.dataset.kind = value.kind;
      tools.hidden = value.kind !== "concept";
      group.field.hidden = value.kind !== "concept" || !value.groups.length;
      if (value.kind === "concept") {
        modes.fill(value.modes.map(([mode, n]) => [mode, `${NAMES[mode]} ${count(n)}`]), value.mode);
        group.fill([["", "all slices"], ...value.groups.map((name) => [name, name])], value.group);
      }
      const list = value.kind === "document" ? [value] : value.documents;
      documents.replaceChildren(...list.map((one) => entry(page, one, value.kind)), ...(list.length ? [] : [h("p", { class: "llmx-dim", text: "No documents here." })]));
      pager.hidden = value.kind === "document";
      if (pager.hidden) return;
      set(where, { text: value.total ? `${count(value.first)}–${count(value.first + list.length - 1)} of ${count(value.total)}` : "none" });
      back.disabled = value.page <= 0;
      forth.disabled = value.page >= value.pages - 1;
    },
  };
}

const heads = {
  concept(page, value) {
    const [n, whole, share, low, high] = value.share;
    const state = [value.ticked ? "" : "not ticked", value.locked ? "locked" : ""].filter(Boolean);
    const editing = page.editing === value.id;
    const marks = value.documents.flatMap((one) => one.parts.filter((_, i) => i % 2)).map(letters);
    const quotes = value.quotes.filter((quote) => !marks.some((mark) => mark.includes(letters(quote)))); // what is marked below is said already
    page.editing = null;
    return [
      h("h3", { class: "llmx-title llmx-x-dtitle" }, swatch(value.number), h("span", { text: value.name })),
      editing ? criterionForm(page, value) : criterion(page, value),
      h("p", { class: "llmx-x-facts" }, h("b", { text: `${count(n)} of ${count(whole)}` }), ` documents match, ${percent(share)} `, h("span", { class: "llmx-dim", text: `(95%: ${interval(low, high)})` }), state.length ? h("span", { class: "llmx-chip", text: state.join(", ") }) : null),
      value.difference ? h("p", { class: "llmx-dim", text: value.difference.replace(`“${value.name}” differs`, "It differs") }) : null,
      value.summary ? h("p", { text: value.summary }) : null,
      value.keywords.length ? h("p", { class: "llmx-x-words" }, value.keywords.map((word) => h("span", { class: "llmx-chip", text: word }))) : null,
      value.seed ? h("p", { class: "llmx-dim", text: `Seed: ${value.seed}` }) : null,
      quotes.length ? h("div", { class: "llmx-x-quotes" }, quotes.map((quote) => h("blockquote", { text: quote }))) : null,
    ].filter(Boolean);
  },
  documents(page, value) {
    const all = button({ icon: "close", kind: "plain", title: "Back to the concept" }, () => page.send("alike"));
    return [h("div", { class: "llmx-row" }, h("h3", { class: "llmx-title llmx-grow", text: value.title }), all), h("p", { class: "llmx-x-facts llmx-dim", text: `${count(value.total)} ${value.total === 1 ? "document" : "documents"}` })];
  },
  document(page, value) {
    const close = button({ icon: "close", kind: "plain", title: "Back to the concept" }, () => page.send("alike"));
    return [h("div", { class: "llmx-row" }, h("h3", { class: "llmx-title llmx-grow", text: `Document ${value.label}` }), close)];
  },
};

/** A quote is cleaned and may be cut: letters alone are compared. */
function letters(text) { return text.replace(/[^\p{L}\p{N}]+/gu, "").toLowerCase(); }

function criterion(page, value) {
  const edit = button({ text: "Change", kind: "plain", title: "Change the criterion" }, () => { const form = criterionForm(page, value); line.replaceWith(form); form.querySelector("textarea").focus(); });
  edit.disabled = value.locked;
  const line = h("p", { class: "llmx-x-criterion" }, h("span", { text: value.criterion }), edit);
  return line;
}

function criterionForm(page, value) {
  const field = h("textarea", { class: "llmx-input", rows: 3, "aria-label": "Criterion", value: value.criterion, "data-id": value.id });
  const end = (keep) => {
    form.replaceWith(criterion(page, value));
    if (keep && field.value.trim() && field.value.trim() !== value.criterion) page.send("edit", { key: value.id, criterion: field.value });
  };
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") end(false);
    else if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); end(true); }
  });
  const form = h("div", { class: "llmx-x-form" }, field, h("div", { class: "llmx-row" }, h("span", { class: "llmx-grow" }), button({ text: "Cancel" }, () => end(false)), button({ text: "Save", kind: "main" }, () => end(true))));
  return form;
}

function entry(page, one, kind) {
  const score = one.score === null || one.score === undefined ? "" : one.score.toFixed(2);
  const facts = [score && `score ${score}`, one.group].filter(Boolean);
  const head = h("div", { class: "llmx-row llmx-x-meta" },
    kind === "document" ? null : h("button", { type: "button", class: "llmx-x-link", title: "Show this document on the map, with all its scores", onclick: () => page.send("look", { row: one.row }) }, `document ${one.label}`),
    h("span", { class: "llmx-dim", text: facts.join(" · ") }));
  const said = h("div", {}, head, h("p", { class: "llmx-x-text" }, marked(one.parts)),
    one.why ? h("p", { class: "llmx-x-why" }, h("b", { text: "Why: " }), one.why) : null,
    one.error ? h("p", { class: "llmx-x-why llmx-x-error", text: `Failed: ${one.error}` }) : null);
  return h("article", { class: "llmx-x-document" }, said, kind === "document" ? scores(page, one.scores) : null);
}

function scores(page, lines) {
  return h("ul", { class: "llmx-x-scores", "aria-label": "Scores" }, lines.map((line) => h("li", { class: line.yes ? "" : "llmx-dim" },
    h("button", { type: "button", class: "llmx-x-rowname", onclick: () => page.send("choose", { keys: [line.id] }) }, swatch(line.number), h("span", { text: line.name })),
    h("span", { class: "llmx-track", "aria-hidden": "true" }, h("span", { class: "llmx-fill", style: { width: `${100 * (line.value ?? 0)}%`, background: line.yes ? colour(line.number) : "var(--llmx-edge)" } })),
    h("span", { class: "llmx-number", text: line.value === null ? "–" : line.value.toFixed(2) }))));
}
