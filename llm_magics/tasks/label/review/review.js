// The review: a card at a time or a grid, by keys or by mouse. The kernel holds the state; the page goes ahead of it.
import { panel } from "../../../widgets/frontend/panel.js";
import { h, set, keyed } from "../../../widgets/frontend/dom.js";
import { cardView } from "./card.js";
import { gridView } from "./grid.js";
import { toolbar } from "./toolbar.js";
import { sideView } from "./side.js";

const PAGE = 10;

export default panel((page) => {
  const review = new Review(page);
  return {
    setup: (setup) => { review.setup = setup; review.draw(); },
    deck: (deck) => review.receive(deck),
    filters: (filters) => { review.filters = filters; review.draw(); },
    progress: (progress) => { review.progress = progress; review.draw(); },
    undo: (undo) => { review.undone = undo; review.draw(); },
  };
});

class Review {
  constructor(page) {
    Object.assign(this, { page, setup: null, deck: null, later: null, at: 0, cards: new Map(), filters: null, progress: null, undone: null });
    this.parts = { card: cardView(this), grid: gridView(this), tools: toolbar(this), side: sideView(this) };
    this.main = h("div", { class: "llmx-review-main", tabindex: 0, role: "application" }, this.parts.card.box, this.parts.grid.box);
    page.root.classList.add("llmx-review");
    // First in the document, so that one press of Tab reaches the keys; the style puts the tools above.
    this.keys = h("div", { class: "llmx-review-keys", "aria-hidden": "true" });
    const foot = h("div", { class: "llmx-review-foot" }, page.status, this.keys);
    const body = h("div", { class: "llmx-review-body" }, this.main, this.parts.side.box);
    page.root.append(body, this.parts.tools.box, foot);
    page.root.addEventListener("keydown", (event) => this.key(event));
    const receive = page.receive.bind(page);
    page.receive = (content, buffers) => { receive(content, buffers); this.settle(); };
  }

  get grid() { return this.deck?.view === "grid"; }

  /** What the kernel says; while it still has something to do, only cards that are new here. */
  receive(deck) {
    this.later = deck;
    deck.cards.forEach((card, n) => { const place = deck.first + n; if (!this.cards.has(place)) this.cards.set(place, card); });
    this.settle();
  }

  /** Once the kernel has done all that was asked, what it says holds. */
  settle() {
    if (!this.later || this.page.waiting.size) return;
    this.deck = this.later;
    this.at = this.deck.at;
    this.cards = new Map(this.deck.cards.map((card, n) => [this.deck.first + n, card]));
    this.draw();
  }

  draw() {
    if (!this.setup || !this.deck) return;
    const many = this.setup.many;
    const keys = [...(many ? [["1-9", "label on or off"], ["0", "no label"]] : [["1-9", "label"]]), ["Enter", "accept"],
      ...(this.grid ? [["↑ ↓", "row"], ["← →", "page"]] : [["← →", "back and next"]]), ["u", "undo"], ["/", "search"]];
    set(this.main, { "aria-label": `Keys: ${keys.map((pair) => pair.join(" ")).join(", ")}` });
    keyed(this.keys, keys, (pair) => pair.join(), ([key, text]) => h("span", {}, h("kbd", { text: key }), ` ${text}`), () => {});
    this.parts.card.box.hidden = this.grid;
    this.parts.grid.box.hidden = !this.grid;
    this.parts[this.grid ? "grid" : "card"].draw();
    this.parts.tools.draw();
    this.parts.side.draw();
  }

  card(place = this.at) { return this.cards.get(place); }

  /** Digits and letters name labels; with the focus in a field keys are the field's. */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.deck) return;
    const target = event.target;
    if (event.key === "Escape") { this.focus(); return; }
    if (target.closest("input, select, textarea")) return;
    if (event.key === "Enter" && target.closest("button, summary")) return;
    if (this.act(event.key, target)) { event.preventDefault(); event.stopPropagation(); }
  }

  act(key, target) {
    const arrows = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 };
    if (key in arrows) {
      if (target.closest(".llmx-segments")) return false;
      if (key === "ArrowDown" || key === "ArrowUp") {
        if (!this.grid && target.closest(".llmx-review-text")) return false; // it scrolls
        this.step(arrows[key]);
      } else if (this.grid) this.page.send("turn", { pages: arrows[key] });
      else this.step(arrows[key]);
      return true;
    }
    if (key === "Enter") { this.accept(); return true; }
    if (key === "0" && this.setup.many) { this.clear(); return true; }
    if (key === "u") { this.page.send("undo"); return true; }
    if (key === "/") { this.parts.tools.search.focus(); return true; }
    const number = this.setup.labels.findIndex((label) => label.key === key);
    if (number < 0) return false;
    this.choose(number);
    return true;
  }

  /** The card has this label: the only one, and on to the next; or one of several, on or off. */
  choose(number, place = this.at) {
    const card = this.card(place);
    if (!card) return;
    if (this.setup.many) {
      const on = card.current.includes(number);
      this.changed(place, on ? card.current.filter((one) => one !== number) : [...card.current, number].sort((a, b) => a - b));
      this.page.send("toggle", { row: card.row, number });
    } else {
      this.changed(place, [number]);
      this.page.send("choose", { row: card.row, number });
      this.at = place + 1;
    }
    this.draw();
  }

  /** The label that stands is right; where there is none, nothing is decided. */
  accept(place = this.at) {
    const card = this.card(place);
    if (!card) return;
    if (card.current.length || card.other.length || card.state !== "no label") {
      this.changed(place, card.current);
      this.page.send("accept", { row: card.row });
      this.at = place + 1;
      this.draw();
    } else this.step(1, place);
  }

  clear() {
    const card = this.card();
    if (!card) return;
    this.changed(this.at, []);
    this.page.send("clear", { row: card.row });
    this.draw();
  }

  changed(place, current) {
    const card = this.card(place), same = JSON.stringify(current) === JSON.stringify(card.given) && card.state !== "no label";
    this.cards.set(place, { ...card, current, other: current === card.current ? card.other : [], state: same ? "reviewed" : "corrected" });
  }

  step(by, place = this.at) {
    const last = this.deck.total - (this.grid ? 1 : 0);
    const at = Math.max(0, Math.min(last, place + by));
    if (at === this.at) return;
    this.at = at;
    this.page.send("move", { at });
    this.draw();
  }

  /** Back to the card, where keys work. */
  focus() { this.main.focus({ preventScroll: true }); }

  get pages() { return Math.max(1, Math.ceil(this.deck.total / PAGE)); }
}
