// Ten rows a page, for scanning: each with its label, to be changed or accepted in its place.
import { h, set, keyed, button } from "../../../widgets/frontend/dom.js";
import { chip, confidence } from "./pieces.js";

const SWITCHES = 12; // with more labels than this a row of several labels is changed on its card

/** The table of a page. */
export function gridView(review) {
  const body = h("tbody");
  const heads = ["Confidence", "Text", "Label", ""].map((text) => (text ? h("th", { scope: "col", text }) : h("td")));
  const empty = h("p", { class: "llmx-dim llmx-review-empty", text: "No row is in this list." });
  const box = h("div", { class: "llmx-review-grid" }, h("table", {}, h("thead", {}, h("tr", {}, heads)), body), empty);

  function draw() {
    const { deck } = review, rows = deck.cards.map((card, n) => ({ place: deck.first + n, card: review.card(deck.first + n) ?? card }));
    set(empty, { hidden: rows.length > 0 });
    keyed(body, rows, (one) => `${review.setup.many}-${one.card.row}`, (one) => line(one, review), (element, one) => element.update(one));
    const here = body.querySelector('[aria-current="true"]');
    if (here && review.page.root.contains(document.activeElement)) inSight(here);
  }

  return { box, draw };
}

/** Scroll the notebook no more than it takes to have the row in sight. */
function inSight(row) {
  const { top, bottom } = row.getBoundingClientRect();
  if (top < 60 || bottom > window.innerHeight - 60) row.scrollIntoView({ block: "center" });
}

function line(one, review) {
  const sure = confidence(), state = chip(), text = h("div", { class: "llmx-review-line" });
  sure.word.remove();
  const editor = review.setup.many ? several(one, review) : single(one, review);
  const accept = button({ text: "Accept", title: `Row ${one.card.row}: this label is right` }, () => { review.accept(element.place); review.focus(); });
  const element = h("tr", {},
    h("td", { class: "llmx-review-know" }, sure.box, state),
    h("td", {}, text), h("td", {}, editor.box), h("td", { class: "llmx-review-act" }, accept));
  element.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button, select") || element.place === review.at) return;
    review.step(element.place - review.at);
  });
  element.update = ({ place, card }) => {
    element.place = place;
    set(element, { "aria-current": String(place === review.at) });
    sure.draw(card.sure);
    state.draw(card);
    set(state, { hidden: card.state === "to review" });
    set(text, { text: card.text, title: card.why });
    editor.update(card);
  };
  return element;
}

const numbered = (label) => (label.key ? `${label.key} ${label.text}` : label.text);

function single(one, review) {
  const options = [h("option", { text: "no label", value: "" }), ...review.setup.labels.map((label, number) => h("option", { value: number, text: numbered(label) }))];
  const box = h("select", { class: "llmx-select llmx-review-select", "aria-label": `Label of row ${one.card.row}` }, options);
  box.onchange = () => { if (box.value !== "") review.choose(Number(box.value), box.closest("tr").place); };
  return { box, update: (card) => { box.value = card.current.length ? String(card.current[0]) : ""; } };
}

function several(one, review) {
  const { labels } = review.setup;
  if (labels.length > SWITCHES) return listed(review);
  const box = h("div", { class: "llmx-row llmx-wrap llmx-review-switches", role: "group", "aria-label": `Labels of row ${one.card.row}` });
  const switches = labels.map((label, number) => button({ text: numbered(label) }, () => { review.choose(number, box.closest("tr").place); }));
  box.append(...switches);
  return { box, update: (card) => switches.forEach((element, number) => {
    const on = card.current.includes(number);
    set(element, { "aria-pressed": String(on) });
    set(element.firstChild, { text: on ? `${numbered(labels[number])} ✓` : numbered(labels[number]) });
  }) };
}

function listed(review) {
  const names = h("span", { class: "llmx-grow" });
  const change = button({ text: "Change" }, () => {
    review.page.send("move", { at: box.closest("tr").place });
    review.page.send("show", { view: "cards" });
    review.focus();
  });
  const box = h("div", { class: "llmx-row" }, names, change);
  return { box, update: (card) => set(names, { text: card.current.map((number) => review.setup.labels[number].text).join(", ") || "none" }) };
}
