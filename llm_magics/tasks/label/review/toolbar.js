// Above the review: what is shown, how, and what can be taken back or asked again.
import { h, set, button, icon, select, segments } from "../../../widgets/frontend/dom.js";

/** The bar; `search` is its field. */
export function toolbar(review) {
  const { page } = review;
  const title = h("h2", { class: "llmx-title" });
  const views = segments("View", (view) => page.send("show", { view }));
  const state = select("Show", (value) => page.send("filter", { state: value }));
  const label = select("Label", (value) => page.send("filter", { label: Number(value) }));
  const search = h("input", { class: "llmx-input", type: "search", placeholder: "Search the texts", "aria-label": "Search the texts", title: "Search (/)" });
  let typed = 0;
  search.oninput = () => { clearTimeout(typed); typed = setTimeout(() => page.send("filter", { search: search.value }), 250); };
  search.addEventListener("keydown", (event) => { if (event.key === "Enter") { clearTimeout(typed); page.send("filter", { search: search.value }); review.focus(); } });
  const undo = button({ icon: "undo", text: "Undo" }, () => { page.send("undo"); review.focus(); });
  const relabel = button({ text: "Relabel", title: "Ask the model again, with your labels as examples" }, () => page.send("relabel"));
  const all = button({ icon: "check", text: "Accept page", title: "Every label on this page is right" }, () => { page.send("page"); review.focus(); });
  const back = button({ icon: "left", title: "The page before (left arrow)" }, () => page.send("turn", { pages: -1 }));
  const next = button({ icon: "right", title: "The next page (right arrow)" }, () => page.send("turn", { pages: 1 }));
  const where = h("span", { class: "llmx-number llmx-dim" });
  const pages = h("span", { class: "llmx-row" }, all, back, where, next);
  const box = h("div", { class: "llmx-review-tools", role: "group", "aria-label": "Tools" },
    h("div", { class: "llmx-row llmx-wrap" }, title, views.box, h("span", { class: "llmx-grow" }), pages, undo, relabel),
    h("div", { class: "llmx-row llmx-wrap" }, state.field, label.field, h("div", { class: "llmx-search" }, icon("search"), search)));

  function draw() {
    const { setup, deck, filters, undone } = review;
    set(title, { text: `Review ${setup.label}` });
    views.fill([["cards", "Cards"], ["grid", "Grid"]], deck.view);
    if (filters) {
      state.fill([["all", "all"], ...setup.states.map((one) => [one, one])], filters.state);
      label.fill([["-1", "all"], ...setup.labels.map((one, number) => [String(number), one.text])], String(filters.label));
      if (document.activeElement !== search && search.getRootNode().activeElement !== search) set(search, { value: filters.search });
    }
    set(undo, { disabled: !undone, title: undone ? `Take back ${undone} (u)` : "Nothing to take back" });
    set(pages, { hidden: !review.grid });
    if (!review.grid) return;
    const first = deck.cards.length ? deck.first + 1 : 0;
    set(where, { text: `${first.toLocaleString("en")}–${(deck.first + deck.cards.length).toLocaleString("en")} of ${deck.total.toLocaleString("en")}` });
    back.disabled = deck.first === 0;
    next.disabled = deck.first + deck.cards.length >= deck.total;
  }

  return { box, draw, search };
}
