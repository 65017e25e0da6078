// A menu that opens at a button: arrow keys, Home, End, Escape; closes when the focus goes elsewhere.
import { h } from "./dom.js";

/** Open a menu of `items` at `anchor`, within `root`. An item: {text, key, bad, off, act}; null is a line. */
export function openMenu(root, anchor, items, label = "Actions") {
  root.querySelector(".llmx-menu")?.remove();
  const menu = h("div", { class: "llmx-menu", role: "menu", "aria-label": label });
  const close = (back) => {
    if (menu.dataset.closed) return; // the removal of what has the focus is a change of focus too
    menu.dataset.closed = "";
    anchor.setAttribute("aria-expanded", "false");
    if (back) anchor.focus();
    menu.remove();
  };
  menu.append(...items.map((item) => item === null
    ? h("div", { class: "llmx-menu-line", role: "separator" })
    : h("button", {
      type: "button", class: `llmx-menu-item${item.bad ? " llmx-menu-item-bad" : ""}`, role: "menuitem", disabled: Boolean(item.off),
      tabindex: -1, title: item.title, onclick: () => { close(true); item.act(); },
    }, h("span", { text: item.text }), item.key ? h("span", { class: "llmx-menu-key", text: item.key }) : null)));
  menu.addEventListener("keydown", (event) => {
    const live = [...menu.querySelectorAll("button:not(:disabled)")];
    const at = live.indexOf(document.activeElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1 + live.length, Home: 0, End: live.length - 1 }[event.key];
    if (next !== undefined) live[next % live.length].focus();
    else if (event.key === "Escape" || event.key === "Tab") close(true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  menu.addEventListener("focusout", (event) => { if (!menu.contains(event.relatedTarget)) close(false); });
  root.append(menu);
  place(root, anchor, menu);
  anchor.setAttribute("aria-expanded", "true");
  menu.querySelector("button:not(:disabled)")?.focus();
}

function place(root, anchor, menu) {
  const box = root.getBoundingClientRect(), at = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const left = Math.max(4, Math.min(at.left - box.left, root.clientWidth - width - 4));
  const below = at.bottom - box.top + 4, above = at.top - box.top - height - 4;
  menu.style.left = `${left}px`;
  menu.style.top = `${below + height > root.clientHeight && above > 0 ? above : below}px`;
}
