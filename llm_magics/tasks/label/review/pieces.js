// Small pieces that the card and the grid share.
import { h, set } from "../../../widgets/frontend/dom.js";

const KINDS = { reviewed: "good", corrected: "warn", "no label": "bad" };

/** How a row stands. */
export function chip() {
  const element = h("span", { class: "llmx-chip" });
  element.draw = (card) => set(element, { text: card.state, class: `llmx-chip ${KINDS[card.state] ? `llmx-chip-${KINDS[card.state]}` : ""}` });
  return element;
}

/** A confidence as a number and a short bar. */
export function confidence() {
  const fill = h("span", { class: "llmx-fill" }), number = h("span", { class: "llmx-number" }), word = h("span", { text: "confidence" });
  const box = h("span", { class: "llmx-review-sure" }, word, h("span", { class: "llmx-track", "aria-hidden": "true" }, fill), number);
  return { box, word, draw: (sure) => {
    set(box, { hidden: sure === null });
    if (sure !== null) { fill.style.width = `${100 * sure}%`; set(number, { text: sure.toFixed(2) }); }
  } };
}

/** A label's name behind its colour. */
export function labelName(label) {
  const swatch = label.colour ? h("span", { class: "llmx-review-swatch", "aria-hidden": "true", style: { background: label.colour } }) : null;
  return h("span", { class: "llmx-review-name" }, swatch, h("span", { text: label.text }));
}
