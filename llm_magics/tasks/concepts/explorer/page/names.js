// Names of concepts on the map: at their documents, the largest first, none over another, none cut off.
import { h, keyed, set } from "../../../../widgets/frontend/dom.js";
import { swatch } from "./palette.js";

const FEW = 3, GAP = 3;

/** Place the names of a map's view; `quickly` while it moves: no new places, only new pixels. */
export function placeNames(view, quickly) {
  const items = view.data.names;
  keyed(view.names, items, (one) => one.id, (one) => h("button", { type: "button", class: "llmx-x-mapname", tabindex: -1, onclick: () => view.page.send("choose", { keys: [one.id] }) }), fill);
  if (!quickly) view.homes = homes(view);
  const taken = [...view.element.querySelectorAll(".llmx-x-float, .llmx-x-lit:not([hidden])")].map((one) => ({
    left: one.offsetLeft, top: one.offsetTop, right: one.offsetLeft + one.offsetWidth, bottom: one.offsetTop + one.offsetHeight,
  }));
  [...view.names.children].map((element, i) => [element, items[i]]).sort((a, b) => b[1].n - a[1].n).forEach(([element, one]) => {
    const home = view.homes?.get(one.id);
    const spot = home && free(view, home, element, taken);
    element.classList.toggle("llmx-x-away", !spot);
    if (!spot) return;
    taken.push(spot);
    element.style.transform = `translate(${Math.round(spot.left)}px, ${Math.round(spot.top)}px)`;
  });
}

function fill(element, one) {
  const said = `${one.number} ${one.name}`;
  if (element.dataset.said === said) return;
  element.dataset.said = said;
  unmeasure(element);
  set(element, { title: `Open ${one.name}` });
  element.replaceChildren(swatch(one.number), h("span", { text: one.name }));
}

/** Forget how large a name is. */
export function unmeasure(element) {
  delete element.dataset.size;
  element.style.width = "";
}

/** The size of a name; a name on two lines is as wide as the longer of them, not as it may be at most. */
function measured(element) {
  if (!element.dataset.size && element.offsetWidth) {
    const text = document.createRange();
    text.selectNodeContents(element.lastChild);
    const slack = element.lastChild.offsetWidth - text.getBoundingClientRect().width;
    if (slack > 2) element.style.width = `${Math.ceil(element.offsetWidth - slack + 1)}px`;
    element.dataset.size = JSON.stringify([element.offsetWidth, element.offsetHeight]);
  }
  return JSON.parse(element.dataset.size ?? "[0, 0]");
}

/** Where each name belongs: its densest place, or the middle of what is in sight of it. */
function homes(view) {
  const { names, x, y, owners } = view.data;
  const { x: [left, right], y: [low, high] } = view.range;
  const inside = (a, b) => a >= left && a <= right && b >= low && b <= high;
  const seen = new Map();
  for (let i = 0; i < x.length; i += 1) {
    if (owners[i] < 0 || !inside(x[i], y[i])) continue;
    if (!seen.has(owners[i])) seen.set(owners[i], [[], []]);
    seen.get(owners[i])[0].push(x[i]);
    seen.get(owners[i])[1].push(y[i]);
  }
  const found = new Map();
  for (const one of names) {
    const here = seen.get(one.number);
    if (inside(one.x, one.y)) found.set(one.id, [one.x, one.y]);
    else if (here && here[0].length >= FEW) found.set(one.id, here.map(median));
  }
  return found;
}

function median(values) { return values.sort((a, b) => a - b)[values.length >> 1]; }

/** The first place around `home` where the name covers no other, or null. */
function free(view, home, element, taken) {
  const [x, y] = view.at(...home);
  const [width, height] = measured(element);
  const [across, down] = view.size;
  for (const [dx, dy] of [[0, 0], [0, -0.8], [0, 0.8], [0.35, -0.9], [-0.35, -0.9], [0.35, 0.9], [-0.35, 0.9], [0.6, 0], [-0.6, 0], [0, -1.7], [0, 1.7], [0.5, -1.7], [-0.5, 1.7]]) {
    const left = clamp(x - width / 2 + dx * width, 4, across - width - 4);
    const top = clamp(y - height / 2 + dy * (height + GAP), 4, down - height - 4);
    const spot = { left, top, right: left + width, bottom: top + height };
    if (!taken.some((other) => spot.left < other.right + GAP && spot.right + GAP > other.left && spot.top < other.bottom + GAP && spot.bottom + GAP > other.top)) return spot;
  }
  return null;
}

function clamp(value, low, high) { return Math.max(low, Math.min(high, value)); }
