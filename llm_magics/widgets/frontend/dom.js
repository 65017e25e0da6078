// Elements made of names, attributes and children. Text is always text: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `class`, `style` (an object), `onclick` and other handlers, `text`; all else is an attribute. */
export function h(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** An SVG element, in the same way. */
export function s(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

function filled(element, properties, children) {
  set(element, properties);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Set properties of an element; null, undefined and false take an attribute away. */
export function set(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on") && (typeof value === "function" || value === null)) element[name] = value;
    else if (name === "text") { if (element.textContent !== String(value)) element.textContent = value; }
    else if (name === "style") Object.entries(value).forEach(([key, one]) => element.style.setProperty(key, one));
    else if ((name === "value" && element.tagName !== "OPTION") || name === "checked" || name === "indeterminate") { if (element[name] !== value) element[name] = value; }
    else if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value === true ? "" : value);
  }
  return element;
}

/** Make the children of `parent` those of `items`: what has the same key stays, and with it its focus. */
export function keyed(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const [number, item] of items.entries()) {
    const name = String(key(item));
    let element = old.get(name);
    if (element) old.delete(name);
    else { element = make(item); element.dataset.key = name; }
    update(element, item, number);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  old.forEach((element) => element.remove());
}

const PATHS = {
  undo: "M6 3 2.5 6.5 6 10M3 6.5h6a4 4 0 0 1 0 8H7",
  redo: "M10 3l3.5 3.5L10 10M13 6.5H7a4 4 0 0 0 0 8h2",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM11 11l3.5 3.5",
  more: "M3 8h.01M8 8h.01M13 8h.01",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  home: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
  lasso: "M8 9.5c3.3 0 6-1.6 6-3.7S11.3 2 8 2 2 3.7 2 5.8s2.7 3.7 6 3.7zM5 9c-1.5 1-1.5 3 0 3s2 1 1 2.5",
  box: "M2.5 2.5h2M7 2.5h2M11.5 2.5h2v2M13.5 7v2M13.5 11.5v2h-2M9 13.5H7M4.5 13.5h-2v-2M2.5 9V7M2.5 4.5v-2",
  move: "M8 2v12M2 8h12M6 4l2-2 2 2M6 12l2 2 2-2M4 6 2 8l2 2M12 6l2 2-2 2",
  lock: "M4 7.5h8v6H4zM5.5 7.5v-2a2.5 2.5 0 0 1 5 0v2",
  check: "M3 8.5 6.5 12 13 4.5",
  close: "M4 4l8 8M12 4l-8 8",
  down: "M4 6l4 4 4-4",
  left: "M10 3 5 8l5 5",
  right: "M6 3l5 5-5 5",
  export: "M8 2v8M5 7l3 3 3-3M3 13.5h10",
  warn: "M8 2 1.5 13.5h13zM8 6.5v3.5M8 12h.01",
  grid: "M2.5 2.5h4v4h-4zM9.5 2.5h4v4h-4zM2.5 9.5h4v4h-4zM9.5 9.5h4v4h-4z",
  card: "M2.5 3.5h11v9h-11zM5 6.5h6M5 9.5h4",
};

/** One of the icons, hidden from screen readers: its button says what it does. */
export function icon(name) {
  const path = s("path", {
    d: PATHS[name], fill: "none", stroke: "currentColor", "stroke-width": name === "more" ? 2.2 : 1.5,
    "stroke-linecap": "round", "stroke-linejoin": "round",
  });
  return s("svg", { class: "llmx-icon", viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" }, path);
}

/** A button. `kind`: main, bad, plain; with `icon` and no text it needs a `title`, which is its name too. */
export function button({ text, icon: named, kind, title, ...rest }, onclick) {
  const classes = ["llmx-button", kind && `llmx-button-${kind}`, named && !text && "llmx-button-icon"];
  const label = text ? {} : { "aria-label": title };
  return h("button", { type: "button", class: classes.filter(Boolean).join(" "), title, onclick, ...label, ...rest },
    named ? icon(named) : null, text ? h("span", { text }) : null);
}

/** A select with its label. `options`: [value, text] pairs, or [group, pairs]. */
export function select(label, onchange) {
  const control = h("select", { class: "llmx-select", onchange: () => onchange(control.value) });
  const field = h("label", { class: "llmx-field" }, h("span", { text: label }), control);
  const fill = (options, value) => {
    const said = JSON.stringify(options);
    if (control.dataset.options !== said) {
      control.dataset.options = said;
      control.replaceChildren(...options.map(([key, text]) => Array.isArray(text)
        ? h("optgroup", { label: key }, text.map(([k, t]) => h("option", { value: k, text: t })))
        : h("option", { value: key, text })));
    }
    control.value = value;
  };
  return { field, control, fill };
}

/** A row of buttons of which one is on; arrow keys move between them. Options: [value, text] pairs. */
export function segments(label, onchoose, role = "group") {
  const box = h("div", { class: "llmx-segments", role, "aria-label": label });
  const state = role === "tablist" ? "aria-selected" : "aria-pressed";
  box.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = [...box.children].filter((one) => !one.disabled);
    const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
    next.focus();
    next.click();
    event.preventDefault();
  });
  const fill = (options, value) => keyed(box, options, ([key]) => key,
    ([key]) => h("button", { type: "button", class: "llmx-segment", role: role === "tablist" ? "tab" : null, onclick: () => onchoose(key) }),
    (element, [key, text, off]) => {
      set(element, { text, [state]: String(key === value), tabindex: key === value ? 0 : -1 });
      element.disabled = Boolean(off);
    });
  return { box, fill };
}

/** Text in parts [before, marked, after, marked, ...]: every second one is marked. */
export function marked(parts) {
  return parts.map((part, number) => (number % 2 ? h("mark", { text: part }) : document.createTextNode(part)));
}
