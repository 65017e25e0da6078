// The base of every panel: the kernel holds the state, sends its parts with a version, and takes intents.
import { bytes } from "./bytes.js";
import { h } from "./dom.js";
import { followTheme } from "./theme.js";
import { plotly } from "./plotly.js";

const SLOW = 500, BUSY = 2500, AGAIN = 15000;
const TYPES = { f4: Float32Array, u1: Uint8Array, i1: Int8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array };

/** An anywidget module. `build(page)` fills `page.root` and returns, for each part, a function that draws its value. */
export function panel(build) {
  return { render: ({ model, el }) => mounted(model, el, build) };
}

function mounted(model, el, build) {
  const root = h("section", { class: "llmx-root", "aria-label": model.get("label"), "data-lm-suppress-shortcuts": "true" });
  const status = h("div", { class: "llmx-status", role: "status", "aria-live": "polite" });
  root.append(h("style", { text: model.get("css") }));
  const page = new Page(model, root, status);
  page.parts = { status: (text) => page.say(text), ...build(page) };
  if (!status.isConnected && !root.contains(status)) root.append(status);
  const endKeys = keepKeys(root);
  const endTheme = followTheme((theme) => { root.dataset.theme = theme; page.themed.forEach((tell) => tell(theme)); });
  const receive = (content, buffers) => page.receive(content, buffers);
  model.on("msg:custom", receive);
  el.append(root);
  const endTwin = hideTwin(model.get("twin"));
  page.send("ready");
  return () => {
    model.off("msg:custom", receive);
    [endKeys, endTheme, endTwin, ...page.ends].forEach((end) => end());
    root.remove();
  };
}

class Page {
  constructor(model, root, status) {
    Object.assign(this, { model, root, status, parts: {}, versions: {}, themed: [], ends: [], waiting: new Map(), asked: new Map(), sent: 0, said: "" });
    this.bundle = null;
  }

  /** "light" or "dark". */
  get theme() { return this.root.dataset.theme ?? "light"; }

  /** Call `tell` with the theme when it changes. */
  onTheme(tell) { this.themed.push(tell); }

  /** Call `end` when the panel leaves the page. */
  onEnd(end) { this.ends.push(end); }

  /** Tell the kernel what a person wants. */
  send(intent, values = {}) {
    const number = ++this.sent;
    this.waiting.set(number, performance.now());
    this.model.send({ intent, values, number, view: this.id });
    setTimeout(() => this.wait(number), SLOW);
    setTimeout(() => this.wait(number), BUSY);
    return number;
  }

  /** Ask the kernel for something that changes nothing; a promise of the answer. */
  ask(question, values = {}) {
    return new Promise((resolve) => this.asked.set(this.send(question, values), resolve));
  }

  get id() { return (this.root.dataset.view ??= Math.random().toString(36).slice(2)); }

  wait(number) {
    const since = this.waiting.get(number);
    if (since === undefined) return;
    this.root.dataset.waiting = "";
    if (performance.now() - since > BUSY - 50) this.status.textContent = "The kernel is busy. This is done as soon as its cell ends.";
  }

  /** Say it in the status line, which screen readers read out. */
  say(text) {
    this.said = text;
    if (this.status.textContent !== text) this.status.textContent = text;
  }

  /** Plotly, loaded on first use. */
  plotly() {
    return plotly(() => new Promise((resolve, reject) => {
      this.bundle = resolve;
      const ask = () => this.send("plotly");
      ask();
      // A server may drop what comes too fast; after a second try it is missing for good.
      setTimeout(() => { if (this.bundle) ask(); }, AGAIN);
      setTimeout(() => { if (this.bundle) reject(new Error("Plotly did not arrive.")); }, 3 * AGAIN);
    }));
  }

  receive(content, buffers) {
    if (content.done && content.view === this.id) {
      this.waiting.delete(content.done);
      if (!this.waiting.size) {
        delete this.root.dataset.waiting;
        this.say(this.said);
      }
    }
    if ("answer" in content && content.view === this.id) {
      this.asked.get(content.done)?.(unpacked(content.answer, buffers));
      this.asked.delete(content.done);
    }
    if (content.plotly && this.bundle) { this.bundle(bytes(buffers[0])); this.bundle = null; }
    for (const [name, [version, value]] of Object.entries(content.parts ?? {})) {
      if (version <= (this.versions[name] ?? 0)) continue; // stale: something newer is drawn
      this.versions[name] = version;
      this.parts[name]?.(unpacked(value, buffers));
    }
  }
}

function unpacked(value, buffers) {
  if (Array.isArray(value)) return value.map((one) => unpacked(one, buffers));
  if (value === null || typeof value !== "object") return value;
  if ("$buffer" in value) return new TYPES[value.type](bytes(buffers[value.$buffer]).slice().buffer);
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, unpacked(one, buffers)]));
}

/**
 * Keys pressed in the panel are the panel's: notebooks would take "d d" for the deletion of the cell.
 * JupyterLab, VS Code and Colab listen above the panel. Notebook 7 listens before it, and heeds a mark on the
 * element that has the focus.
 */
function keepKeys(root) {
  const keep = (event) => event.stopPropagation();
  const mark = (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true");
  root.addEventListener("keydown", keep);
  root.addEventListener("focusin", mark);
  return () => { root.removeEventListener("keydown", keep); root.removeEventListener("focusin", mark); };
}

/** The static twin, and the output around it, is out of sight while the panel lives. */
function hideTwin(name) {
  if (!name) return () => {};
  const twins = new Set();
  const look = () => document.querySelectorAll(`[data-llmx-twin="${CSS.escape(name)}"]`).forEach((twin) => {
    const around = twin.closest(".jp-OutputArea-child, .output_area, .output-element") ?? twin;
    const hidden = around.querySelector(".llmx-root") ? twin : around;
    hidden.classList.add("llmx-twin-hidden");
    twins.add(hidden);
  });
  look();
  const timers = [200, 1000, 4000].map((delay) => setTimeout(look, delay));
  return () => { timers.forEach(clearTimeout); twins.forEach((twin) => twin.classList.remove("llmx-twin-hidden")); };
}
