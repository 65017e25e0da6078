// One text, large; its labels as keys with what they mean; why this row.
import { h, set, keyed, button } from "../../../widgets/frontend/dom.js";
import { chip, confidence, labelName } from "./pieces.js";

const FIND = 12; // with more labels than this there is a field that finds one

/** The card, and the labels beside it. */
export function cardView(review) {
  const place = h("span", { class: "llmx-number" }), state = chip(), sure = confidence();
  const text = h("div", { class: "llmx-review-text", tabindex: 0, "aria-live": "polite", role: "group", "aria-label": "Text" });
  const why = h("p", { class: "llmx-review-why" }), said = h("p", { class: "llmx-review-said" });
  const labels = h("div", { class: "llmx-review-labels", role: "group", "aria-label": "Labels" });
  const find = h("input", { class: "llmx-input", type: "search", placeholder: "Find a label", "aria-label": "Find a label" });
  const back = button({ icon: "left", title: "The card before (left arrow)" }, () => { review.step(-1); });
  const next = button({ icon: "right", title: "The next card (right arrow)" }, () => { review.step(1); });
  const accept = button({ kind: "main", text: "Accept", title: "This label is right (Enter)" }, () => { review.accept(); review.focus(); });
  accept.append(h("kbd", { text: "Enter" }));
  const none = button({ text: "No label", title: "No label applies (0)" }, () => { review.clear(); review.focus(); });
  none.append(h("kbd", { text: "0" }));
  const head = h("div", { class: "llmx-row llmx-wrap llmx-review-head" }, place, state, sure.box, h("span", { class: "llmx-grow" }), back, next);
  const left = h("div", { class: "llmx-review-card" }, head, text, why, said);
  const right = h("div", { class: "llmx-review-choice" }, find, labels, h("div", { class: "llmx-row llmx-wrap" }, accept, none));
  const done = h("div", { class: "llmx-review-done" });
  const box = h("div", { class: "llmx-review-cards" }, left, right, done);
  let shown = null;
  find.oninput = () => draw();
  find.addEventListener("keydown", (event) => {
    const first = labels.querySelector("button");
    if (event.key === "Enter" && first) { first.click(); event.preventDefault(); }
  });

  function draw() {
    const { setup, deck } = review, card = review.card();
    const over = review.at >= deck.total;
    set(left, { hidden: over }); set(right, { hidden: over }); set(done, { hidden: !over });
    if (over) { finished(done, review); return; }
    set(box, { "data-loading": card ? null : "" });
    set(place, { text: `${(review.at + 1).toLocaleString("en")} of ${deck.total.toLocaleString("en")}` });
    if (!card) return;
    if (shown !== card.row) { text.scrollTop = 0; find.value = ""; shown = card.row; }
    state.draw(card);
    set(state, { hidden: card.state === "to review" });
    sure.draw(card.sure);
    set(text, { text: card.text, "aria-label": `Text of row ${card.row}` });
    set(why, { text: reason(card), hidden: !reason(card) });
    set(said, { text: card.said ? `The model's reason: ${card.said}` : "", hidden: !card.said });
    set(find, { hidden: setup.labels.length <= FIND });
    set(none, { hidden: !setup.many });
    set(accept, { disabled: !setup.many && !card.current.length && !card.other.length });
    drawLabels(card, setup);
    back.disabled = review.at === 0;
  }

  function drawLabels(card, setup) {
    const wanted = find.value.trim().toLowerCase();
    const found = setup.labels.map((label, number) => ({ ...label, number })).filter((label) => label.text.toLowerCase().includes(wanted));
    keyed(labels, found, (label) => label.number, (label) => labelButton(label, review), (element, label) => {
      const on = card.current.includes(label.number), given = card.given.includes(label.number);
      set(element, { "aria-pressed": String(on) });
      element.querySelector(".llmx-review-tick").textContent = on ? "✓" : "";
      set(element.querySelector(".llmx-review-model"), { hidden: !given, text: given && card.sure !== null && !setup.many ? `model ${card.sure.toFixed(2)}` : "model" });
    });
  }

  return { box, draw };
}

function reason(card) {
  const more = card.more ? `; ${card.more.toLocaleString("en")} more characters are in the frame` : "";
  const why = `row ${card.row}${card.why ? `: ${card.why}` : ""}${card.other.length ? `; labelled ${card.other.join(", ")}, which is not in the list` : ""}${more}`;
  return why[0].toUpperCase() + why.slice(1);
}

function labelButton(label, review) {
  return h("button", {
    type: "button", class: "llmx-review-label", title: label.key ? `${label.text} (${label.key})` : label.text,
    onclick: () => { review.choose(label.number); review.focus(); },
  },
  h("kbd", { text: label.key || "·" }),
  h("span", { class: "llmx-review-names" },
    h("span", { class: "llmx-row llmx-wrap" }, labelName(label), h("span", { class: "llmx-chip llmx-review-model" }), h("span", { class: "llmx-review-tick", "aria-hidden": "true" })),
    label.about ? h("span", { class: "llmx-review-about", text: label.about }) : null));
}

function finished(box, review) {
  const rest = review.progress ? review.progress.rows - review.progress.reviewed : 0;
  const said = review.deck.total ? "All rows of this list are done." : "No row is in this list.";
  const more = rest ? `${rest.toLocaleString("en")} rows are still to review; another filter shows them.` : "Every row has been reviewed.";
  const again = button({ icon: "left", text: "Back to the last card" }, () => { review.step(-1); review.focus(); });
  again.hidden = !review.deck.total;
  box.replaceChildren(h("p", { class: "llmx-title", text: said }), h("p", { class: "llmx-dim", text: `${more} The labels are in .df of the review, and your own in its column ${review.setup.label}_gold.` }), again);
}
