// The map: density, points by Plotly's scattergl, names at their documents, a card beside the pointer.
import { button, h, set } from "../../../../widgets/frontend/dom.js";
import { SYMBOLS, count, inks, place, shape, swatch } from "./palette.js";
import { placeNames, unmeasure } from "./names.js";

const CLEAR = "rgba(0,0,0,0)";
const SHADES = { light: ["rgba(70,96,140,0)", "rgba(70,96,140,.15)"], dark: ["rgba(150,180,230,0)", "rgba(150,180,230,.17)"] };
const SCORES = { light: ["#bcc7d4", "#6f9bd0", "#0a4ea8"], dark: ["#39424f", "#4f7fc0", "#b9d6ff"] };
const SHAPED = 2500; // with more documents points are too small for shapes, and drawing them takes twice as long
const REST = 90, HELD = 3; // milliseconds after which a map that was moved is drawn where it is; so much later while it is held
const ZOOM = 1.35, MARGIN = 0.06, ABOVE = 0.13; // above the documents stand the map's tools

export function documentMap(page) {
  const chart = h("div", { class: "llmx-x-chart" });
  const names = h("div", { class: "llmx-x-names" });
  const ring = h("div", { class: "llmx-x-ring", hidden: true });
  const card = h("div", { class: "llmx-x-card", hidden: true, "aria-hidden": "true" });
  const lit = h("div", { class: "llmx-x-lit", hidden: true });
  const legend = h("div", { class: "llmx-x-legend" });
  const notice = h("div", { class: "llmx-x-notice llmx-dim" });
  const frame = h("div", {
    class: "llmx-x-frame", tabindex: 0, role: "group",
    "aria-label": "Map of the documents. Arrow keys move it, plus and minus zoom, 0 shows all. The documents are listed beside it.",
  }, chart, names, ring, card);
  const tools = h("div", { class: "llmx-x-float" });
  const element = h("div", { class: "llmx-x-map" }, frame, tools, lit, h("div", { class: "llmx-x-under" }, legend, notice));
  const view = new View(page, { chart, names, ring, card, lit, legend, notice, frame, element });
  tools.append(view.gestures());
  return { element, draw: (value) => view.draw(value), light: (value) => view.light(value), shown: () => view.fit() };
}

class View {
  constructor(page, parts) {
    Object.assign(this, parts, { page, data: null, mask: { mask: null, here: null }, box: null, range: null, size: [0, 0], mode: "pan", cards: new Map() });
    new ResizeObserver(() => this.fit()).observe(this.frame);
    this.frame.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.frame.addEventListener("keydown", (event) => this.key(event));
    this.frame.addEventListener("pointerdown", (event) => this.grab(event));
    this.frame.addEventListener("dblclick", () => this.move(this.box));
    page.onTheme(() => { this.unpainted = true; this.repaint(25); });
    page.onEnd(() => this.plotly?.purge(this.chart));
    queueMicrotask(() => page.plotly().catch(() => {})); // asked for with the first data, not after it
  }

  gestures() {
    const modes = [["pan", "move", "Move the map; click opens a document"], ["lasso", "lasso", "Draw around documents to select them"], ["select", "box", "Draw a box to select documents"]];
    const buttons = modes.map(([mode, icon, title]) => button({ icon, title, kind: "plain", "data-mode": mode, "aria-pressed": String(mode === "pan") }, () => {
      this.mode = mode;
      buttons.forEach((one) => set(one, { "aria-pressed": String(one.dataset.mode === mode) }));
      if (this.plotly) this.plotly.relayout(this.chart, { dragmode: mode });
    }));
    const zooms = [["minus", "Zoom out", () => this.zoom(ZOOM)], ["plus", "Zoom in", () => this.zoom(1 / ZOOM)], ["home", "Show the whole map", () => this.move(this.box)]];
    return h("div", { class: "llmx-row llmx-x-gestures", role: "group", "aria-label": "Map tools" }, buttons,
      h("span", { class: "llmx-x-gap" }), zooms.map(([icon, title, act]) => button({ icon, title, kind: "plain" }, act)));
  }

  async draw(data) {
    const first = !this.data;
    this.data = data;
    this.cards.clear();
    this.box = bounds(data);
    this.range ??= this.box;
    this.legends();
    if (first) this.plotly = await this.page.plotly();
    if (!this.plotly || !this.frame.isConnected) return;
    await this.paint();
  }

  /** All of the chart anew. */
  async paint() {
    const size = [this.frame.clientWidth, this.frame.clientHeight];
    this.unpainted = !size[0] || !size[1]; // out of sight: painted once it has a size
    if (!this.plotly || this.unpainted) return;
    this.size = size;
    this.drawn = this.range;
    const fresh = !this.chart.data;
    await this.plotly.react(this.chart, [this.shading(), this.points()], this.layout(), { displayModeBar: false, doubleClick: false, responsive: false, showTips: false });
    if (fresh) this.listen();
    this.place();
    this.fit(); // its size may have changed meanwhile
  }

  /** Paint in the page's new colours: JupyterLab takes the old theme away first, and nothing has a size meanwhile. */
  repaint(tries) {
    this.fit();
    if (this.unpainted && tries) setTimeout(() => this.repaint(tries - 1), 200);
  }

  layout() {
    const axis = (range) => ({ visible: false, range: [...range], autorange: false, fixedrange: true, zeroline: false, showgrid: false });
    return {
      width: Math.max(this.size[0], 50), height: Math.max(this.size[1], 50), margin: { l: 0, r: 0, t: 0, b: 0 },
      xaxis: axis(this.range.x), yaxis: axis(this.range.y), dragmode: this.mode, hovermode: "closest", hoverdistance: 12,
      showlegend: false, paper_bgcolor: CLEAR, plot_bgcolor: CLEAR,
      newselection: { line: { color: inks(this.page.theme)[1], width: 2, dash: "solid" } },
    };
  }

  shading() {
    const { z, size, x, y } = this.data.density;
    const rows = Array.from({ length: size }, (_, i) => Array.from(z.subarray(i * size, (i + 1) * size)));
    const step = (range) => (range[1] - range[0]) / Math.max(1, size);
    const [low, high] = SHADES[this.page.theme];
    return {
      type: "contour", z: rows, x0: x[0] + step(x) / 2, dx: step(x), y0: y[0] + step(y) / 2, dy: step(y), showscale: false, hoverinfo: "skip",
      autocontour: false, contours: { coloring: "fill", start: 0.2, end: 0.95, size: 0.125, showlines: false }, line: { width: 0, smoothing: 1.3 },
      colorscale: [[0, low], [1, high]], zmin: 0.1, zmax: 1,
    };
  }

  points() {
    const { x, y, values, codes } = this.data;
    const score = Boolean(values);
    const flat = inks(this.page.theme);
    const steps = flat.flatMap((one, i) => [[i / flat.length, one], [(i + 1) / flat.length, one]]);
    const scale = SCORES[this.page.theme].map((one, i, all) => [i / (all.length - 1), one]);
    const shaped = !score && (x.length <= SHAPED || codes.some((n) => n >= flat.length - 1)); // colours alone don't tell more
    const shapes = shaped ? Array.from(codes, (n) => shape(n)) : null;
    const symbol = shapes?.some(Boolean) ? shapes.map((n) => SYMBOLS[n]) : "circle";
    return {
      type: "scattergl", mode: "markers", x, y, hoverinfo: "none",
      marker: {
        color: score ? values : Float32Array.from(codes, place), colorscale: score ? scale : steps,
        cmin: score ? 0 : -0.5, cmax: score ? 1 : flat.length - 0.5, symbol, line: { width: 0 }, ...this.look(),
      },
    };
  }

  /** Sizes and opacities: what is lit stands out, what has no colour steps back. */
  look() {
    const { x, codes, values } = this.data;
    const mask = this.mask.mask?.length === x.length ? this.mask.mask : null;
    const size = x.length > 8000 ? 4.5 : x.length > 2500 ? 6 : 8;
    const none = (i) => (values ? values[i] < 0 : codes[i] < 0);
    return {
      size: Float32Array.from(x, (_, i) => (mask?.[i] ? size + 1.5 : none(i) ? size - 2 : size)),
      opacity: Float32Array.from(x, (_, i) => (mask ? (mask[i] ? 0.95 : 0.1) : none(i) ? 0.45 : 0.82)),
    };
  }

  light(mask) {
    this.mask = mask;
    this.lit.hidden = !mask.why;
    if (mask.why) {
      const one = mask.count === 1;
      const said = `${count(mask.count)} ${one ? "document" : "documents"} ${one ? mask.why.replace(/^(match|contain)/, (word) => `${word}${word === "match" ? "es" : "s"}`) : mask.why}`;
      this.lit.replaceChildren(h("span", { text: said }), button({ icon: "close", kind: "plain", title: "Let no document stand out" }, () => this.page.send("alike")));
    }
    if (!this.plotly || !this.chart.data) return;
    clearTimeout(this.lighting); // after the page has drawn the rest
    this.lighting = setTimeout(() => {
      const { size, opacity } = this.look();
      this.plotly.restyle(this.chart, { "marker.size": [size], "marker.opacity": [opacity] }, [1]);
      this.place();
    }, 20);
  }

  legends() {
    const { groups, values, title, threshold, rows, of } = this.data;
    this.names.classList.toggle("llmx-x-plainnames", Boolean(values || groups.length)); // its colours mean something else
    const entry = (name, i) => h("span", { class: "llmx-x-entry" }, swatch(i), name);
    if (values) {
      const stops = SCORES[this.page.theme].join(", ");
      this.legend.replaceChildren(h("span", { text: `score of ${title}` }), h("span", { text: "0" }),
        h("span", { class: "llmx-x-scale", style: { background: `linear-gradient(90deg, ${stops})` } }), h("span", { text: "1" }), h("span", { class: "llmx-dim", text: `matches above ${threshold}` }));
    } else if (groups.length) this.legend.replaceChildren(h("span", { class: "llmx-dim", text: title }), ...groups.map(entry));
    else this.legend.replaceChildren(h("span", { class: "llmx-x-entry llmx-dim" }, h("span", { class: "llmx-x-grey", "aria-hidden": "true" }), "in no concept"));
    set(this.notice, { text: rows.length < of ? `showing ${count(rows.length)} of ${count(of)} documents` : "" });
  }

  // --- what a person does ---------------------------------------------------------------------------

  listen() {
    const { chart, page } = this;
    chart.on("plotly_click", ({ points }) => { const point = points.find((one) => one.curveNumber === 1); if (point) page.send("look", { row: this.data.rows[point.pointNumber] }); });
    chart.on("plotly_selected", (event) => {
      if (!event) return;
      const rows = event.points.filter((one) => one.curveNumber === 1).map((one) => this.data.rows[one.pointNumber]);
      this.plotly.update(chart, { selectedpoints: [null] }, { selections: [] }, [1]);
      page.send("select", { rows });
    });
    chart.on("plotly_hover", ({ points }) => { const point = points.find((one) => one.curveNumber === 1); if (point) this.hover(point.pointNumber); });
    chart.on("plotly_unhover", () => { this.hovered = null; this.card.hidden = true; });
  }

  /** Show another part of the map. Until it rests, what is drawn is moved and stretched: that takes no time. */
  move(range) {
    this.range = range;
    this.card.hidden = true;
    if (!this.plotly || !this.chart.data) return;
    const { x, y } = this.drawn;
    const across = (x[1] - x[0]) / (range.x[1] - range.x[0]), down = (y[1] - y[0]) / (range.y[1] - range.y[0]);
    const [left, top] = this.at(x[0], y[1]);
    this.chart.style.transform = `translate(${left}px, ${top}px) scale(${across}, ${down})`;
    this.place(true);
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.rest(), Math.min(600, Math.max(REST, this.cost ?? 0)) * (this.held ? HELD : 1));
  }

  /** Draw the part of the map that is in sight. */
  async rest() {
    const range = this.range, began = performance.now();
    await this.plotly.relayout(this.chart, { "xaxis.range": [...range.x], "yaxis.range": [...range.y] });
    this.drawn = range;
    requestAnimationFrame(() => { this.cost = performance.now() - began; }); // a slow machine draws more seldom
    if (this.range === range) { this.chart.style.transform = ""; this.place(); } else this.move(this.range);
  }

  /** Drag the map along with the pointer. */
  grab(event) {
    if (this.mode !== "pan" || event.button !== 0 || event.target.closest("button")) return;
    const from = [event.clientX, event.clientY], { x, y } = this.range;
    this.held = true;
    const along = (moved) => {
      const [dx, dy] = [(moved.clientX - from[0]) / this.size[0] * (x[1] - x[0]), (moved.clientY - from[1]) / this.size[1] * (y[1] - y[0])];
      if (dx || dy) this.move({ x: x.map((one) => one - dx), y: y.map((one) => one + dy) });
    };
    const end = () => { this.held = false; if (this.range !== this.drawn) this.move(this.range); removeEventListener("pointermove", along, true); removeEventListener("pointerup", end, true); removeEventListener("pointercancel", end, true); };
    addEventListener("pointermove", along, true); // Plotly lays a sheet over the page while a button is pressed
    addEventListener("pointerup", end, true);
    addEventListener("pointercancel", end, true);
  }

  zoom(factor, at = [0.5, 0.5]) {
    const around = ([low, high], share) => { const middle = low + (high - low) * share; return [middle - (middle - low) * factor, middle + (high - middle) * factor]; };
    this.move({ x: around(this.range.x, at[0]), y: around(this.range.y, 1 - at[1]) });
  }

  /** The wheel zooms with Ctrl or a pinch, or while the map has the focus; else the page scrolls. */
  wheel(event) {
    if (!(event.ctrlKey || event.metaKey || this.frame.contains(document.activeElement))) return;
    event.preventDefault();
    event.stopPropagation();
    const box = this.frame.getBoundingClientRect();
    this.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.004), [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
  }

  key(event) {
    const by = (axis, share) => { const [low, high] = this.range[axis]; const step = (high - low) * share; this.move({ ...this.range, [axis]: [low + step, high + step] }); };
    const acts = {
      ArrowLeft: () => by("x", -0.1), ArrowRight: () => by("x", 0.1), ArrowUp: () => by("y", 0.1), ArrowDown: () => by("y", -0.1),
      "+": () => this.zoom(1 / ZOOM), "=": () => this.zoom(1 / ZOOM), "-": () => this.zoom(ZOOM), 0: () => this.move(this.box),
      Escape: () => this.page.send("alike"),
    };
    if (!acts[event.key] || event.ctrlKey || event.metaKey) return;
    acts[event.key]();
    event.preventDefault();
  }

  // --- what lies over the chart ---------------------------------------------------------------------

  /** Where a place of the map is in the frame, in pixels. */
  at(x, y) {
    const share = (value, [low, high]) => (value - low) / (high - low);
    return [share(x, this.range.x) * this.size[0], (1 - share(y, this.range.y)) * this.size[1]];
  }

  place(quickly = false) {
    if (!this.data || !this.plotly) return;
    placeNames(this, quickly);
    const { here } = this.mask;
    this.ring.hidden = here === null || here === undefined;
    if (!this.ring.hidden) {
      const [left, top] = this.at(this.data.x[here], this.data.y[here]);
      this.ring.style.transform = `translate(${left}px, ${top}px)`;
    }
  }

  fit() {
    const size = [this.frame.clientWidth, this.frame.clientHeight];
    if (!size[0] || !size[1] || !this.plotly) return;
    if (this.unpainted && this.data) { this.paint(); return; }
    if (!this.chart.data || (size[0] === this.size[0] && size[1] === this.size[1])) return;
    this.size = size;
    this.names.querySelectorAll("[data-size]").forEach(unmeasure); // type and room differ by width
    this.plotly.relayout(this.chart, { width: size[0], height: size[1] }).then(() => this.place());
  }

  async hover(number) {
    this.hovered = number;
    const row = this.data.rows[number];
    await new Promise((resolve) => setTimeout(resolve, this.cards.has(row) ? 0 : 60));
    if (this.hovered !== number) return;
    if (!this.cards.has(row)) this.cards.set(row, await this.page.ask("document", { row }));
    if (this.hovered === number) this.show(number, this.cards.get(row));
  }

  show(number, { label, text, concepts, group }) {
    const head = concepts.length ? concepts.map((one) => h("div", { class: "llmx-x-cardname" }, swatch(one.number), one.name)) : [h("div", { class: "llmx-dim", text: "no concept" })];
    this.card.replaceChildren(...head, h("p", { text }), h("div", { class: "llmx-dim llmx-small", text: [`document ${label}`, group].filter(Boolean).join(" · ") }));
    this.card.hidden = false;
    const [left, top] = this.at(this.data.x[number], this.data.y[number]);
    const { offsetWidth: width, offsetHeight: height } = this.card;
    const right = left + 14 + width < this.size[0];
    const below = top + 14 + height < this.size[1];
    this.card.style.left = `${Math.max(4, right ? left + 14 : left - width - 14)}px`;
    this.card.style.top = `${Math.max(4, below ? top + 14 : top - height - 14)}px`;
  }
}

/** The whole map with a margin. */
function bounds({ x, y }) {
  const range = (values, above = MARGIN) => {
    let low = Infinity, high = -Infinity;
    for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
    const size = high - low || 1;
    return [low - size * MARGIN, high + size * above];
  };
  return x.length ? { x: range(x), y: range(y, ABOVE) } : { x: [0, 1], y: [0, 1] };
}

