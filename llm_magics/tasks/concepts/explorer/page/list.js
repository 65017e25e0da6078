// The concepts as rows: tick, swatch, name, count, shares; renamed in place, merged by dragging, a menu each.
import { button, h, icon, keyed, set } from "../../../../widgets/frontend/dom.js";
import { openMenu } from "../../../../widgets/frontend/menu.js";
import { colour, count, percent, swatch } from "./palette.js";

const DRAG = 6;

export function conceptList(page) {
  const rows = h("ul", { class: "llmx-x-rows", "aria-label": "Concepts" });
  const filter = h("input", { class: "llmx-input llmx-x-filter", type: "search", placeholder: "Filter", "aria-label": "Filter concepts", oninput: () => draw(state) });
  const rest = h("button", { type: "button", class: "llmx-x-none", onclick: () => page.send("choose", { keys: [] }) });
  const form = addForm(page);
  const bar = h("div", { class: "llmx-x-several", role: "group", "aria-label": "Chosen concepts", hidden: true });
  const element = h("div", { class: "llmx-x-list" },
    h("div", { class: "llmx-row llmx-x-listhead" }, h("h3", { class: "llmx-heading llmx-grow", text: "Concepts" }), filter, form.open),
    form.element, rows, rest, bar);
  let state = { rows: [], chosen: [], groups: [], rest: 0 };

  const choose = (id, several) => {
    const kept = state.chosen.includes(id) ? state.chosen.filter((one) => one !== id) : [...state.chosen, id];
    page.send("choose", { keys: several ? kept : [id] });
  };
  const acts = { choose, names: () => state, merge: (keys) => page.send("merge", { keys }) };

  function draw(value) {
    state = value;
    const wanted = filter.value.trim().toLowerCase();
    filter.hidden = value.rows.length < 10;
    const shown = value.rows.filter((row) => row.name.toLowerCase().includes(wanted));
    const most = Math.max(...value.rows.map((row) => row.share), 1e-9);
    const focused = rows.contains(document.activeElement);
    keyed(rows, shown, (row) => row.id, (row) => conceptRow(page, row.id, acts), (element, row) => drawRow(element, row, value, most));
    const focusable = [...rows.querySelectorAll(".llmx-x-name")];
    const open = focusable.find((one) => one.closest("li").dataset.key === value.chosen[0]) ?? focusable[0];
    focusable.forEach((one) => { one.tabIndex = one === open ? 0 : -1; });
    if (focused && !rows.contains(document.activeElement)) open?.focus(); // its row is gone, by a merge or a deletion
    set(rest, { text: value.rest ? `${count(value.rest)} documents match no concept` : "Every document matches a concept", "aria-pressed": String(!value.chosen.length) });
    drawSeveral(value);
  }

  function drawSeveral({ rows: all, chosen }) {
    bar.hidden = chosen.length < 2;
    if (bar.hidden) return;
    const names = all.filter((row) => chosen.includes(row.id));
    const act = (text, intent, kind) => button({ text, kind, title: `${text}: ${names.map((row) => row.name).join(", ")}` }, () => page.send(intent, { keys: chosen }));
    bar.replaceChildren(h("span", { class: "llmx-dim llmx-grow", text: `${chosen.length} chosen` }),
      act("Merge", "merge", "main"), act(names.every((row) => row.ticked) ? "Untick" : "Tick", "tick"), act("Delete", "delete", "bad"));
  }

  rows.addEventListener("keydown", (event) => keys(event, page, state, choose));
  return { element, draw };
}

function conceptRow(page, id, acts) {
  const tick = h("input", { type: "checkbox", class: "llmx-check", onchange: () => page.send("tick", { keys: [id] }) });
  const name = h("button", { type: "button", class: "llmx-x-name", onclick: (event) => { if (!name.dataset.dragged) acts.choose(id, event.ctrlKey || event.metaKey || event.shiftKey); } });
  const more = button({ icon: "more", kind: "plain", title: "Actions", "aria-haspopup": "menu", "aria-expanded": "false", tabindex: -1 }, () => openMenu(page.root, more, items(page, id, acts, row), "Actions of the concept"));
  const row = h("li", { class: "llmx-x-row" }, tick, name, more);
  name.addEventListener("dblclick", () => rename(page, row, id));
  dragToMerge(page, row, name, id, acts);
  return row;
}

function drawRow(element, row, { chosen, groups }, most) {
  const [tick, name, more] = element.children;
  element.classList.toggle("llmx-x-chosen", chosen.includes(row.id));
  element.classList.toggle("llmx-x-off", !row.ticked || row.hits === 0);
  set(tick, { checked: row.ticked, "aria-label": `Use ${row.name}`, title: row.ticked ? "In use. Untick to leave it out of map, matrix and exports." : "Left out. Tick to use it." });
  const said = row.count === null ? "not scored yet" : `${count(row.count)} documents, ${percent(row.share)}`;
  const hits = row.hits === null ? "" : `, ${count(row.hits)} of those found`;
  const slices = row.bars.map(([share, n], i) => `${groups[i]}: ${count(n)} (${percent(share)})`).join(", ");
  set(name, { "aria-pressed": String(chosen.includes(row.id)), "aria-label": `${row.name}, ${said}${hits}${row.locked ? ", locked" : ""}`, title: [row.name, said + hits, slices].filter(Boolean).join("\n") });
  set(more, { "aria-label": `Actions of ${row.name}` });
  const number = row.hits !== null ? `${count(row.hits)} of ${count(row.count ?? 0)}` : row.count === null ? "–" : count(row.count);
  const slim = bars(row);
  name.replaceChildren(swatch(row.number), h("span", { class: "llmx-x-label" }, row.name, row.locked ? icon("lock") : null),
    slim ?? h("span", { class: "llmx-x-bars" }), h("span", { class: "llmx-number llmx-x-count", text: number }),
    h("span", { class: "llmx-track llmx-x-share", "aria-hidden": "true" }, h("span", { class: "llmx-fill", style: { width: `${(100 * row.share) / most}%`, background: colour(row.number) } })));
}

const BARS = 8; // more slices than that are the matrix's

/** A bar a slice: the share of the slice that matches, relative to the largest. */
function bars(row) {
  if (row.bars.length > BARS) return null;
  const top = Math.max(...row.bars.map(([share]) => share), 1e-9);
  return h("span", { class: "llmx-x-bars", "aria-hidden": "true" }, row.bars.map(([share]) => h("span", { style: { height: `${Math.max(8, (100 * share) / top)}%`, background: colour(row.number), opacity: share ? 1 : 0.35 } })));
}

function items(page, id, acts, row) {
  const { rows, chosen } = acts.names();
  const one = rows.find((each) => each.id === id);
  const with_ = chosen.filter((key) => key !== id);
  const other = rows.find((each) => each.id === with_[0]);
  return [
    { text: "Rename", key: "F2", off: one.locked, act: () => rename(page, row, id) },
    { text: "Change the criterion", off: one.locked, act: () => { page.send("choose", { keys: [id] }); page.editing = id; } },
    { text: other ? `Merge with ${with_.length > 1 ? `${with_.length} others` : `“${other.name}”`}` : "Merge with the open concept", off: !with_.length, title: "Choose others with Ctrl first, or drag this one onto another", act: () => acts.merge([...with_, id]) },
    { text: "Split in two", off: one.locked, act: () => page.send("split", { key: id }) },
    null,
    { text: one.locked ? "Unlock" : "Lock", title: "A locked concept can't be changed", act: () => page.send("lock", { keys: [id] }) },
    { text: one.ticked ? "Untick" : "Tick", act: () => page.send("tick", { keys: [id] }) },
    null,
    { text: "Delete", key: "Del", bad: true, off: one.locked, act: () => page.send("delete", { keys: [id] }) },
  ];
}

function rename(page, row, id) {
  if (row.querySelector(".llmx-x-rename")) return;
  const button = row.querySelector(".llmx-x-name"), label = row.querySelector(".llmx-x-label");
  const field = h("input", { class: "llmx-input llmx-x-rename", "aria-label": "New name", value: label.textContent });
  let open = true;
  const end = (keep) => {
    if (!open) return;
    open = false;
    const name = field.value.trim();
    if (keep && name && name !== label.textContent) page.send("rename", { key: id, name });
    button.hidden = false;
    if (field === document.activeElement) button.focus();
    field.remove();
  };
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    end(event.key === "Enter");
  });
  field.addEventListener("blur", () => end(true));
  button.after(field);
  button.hidden = true;
  field.focus();
  field.select();
}

function keys(event, page, { rows, chosen }, choose) {
  const name = event.target.closest(".llmx-x-name");
  if (!name) return;
  const all = [...event.currentTarget.querySelectorAll(".llmx-x-name")];
  const at = all.indexOf(name), id = name.closest("li").dataset.key;
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
  const row = rows.find((one) => one.id === id);
  if (to !== undefined) {
    const next = all[Math.max(0, Math.min(all.length - 1, to))];
    all.forEach((one) => { one.tabIndex = one === next ? 0 : -1; });
    next.focus();
    const key = next.closest("li").dataset.key;
    if (event.shiftKey && !chosen.includes(key)) choose(key, true);
  } else if (event.key === "F2" && !row.locked) rename(page, name.closest("li"), id);
  else if (event.key === "Delete") page.send("delete", { keys: chosen.includes(id) ? chosen : [id] });
  else if (event.key === "ContextMenu" || (event.key === "F10" && event.shiftKey)) name.nextElementSibling.click();
  else if (event.key === "m" && chosen.length > 1) page.send("merge", { keys: chosen });
  else return;
  event.preventDefault();
}

/** A row that is dragged onto another one merges with it. */
function dragToMerge(page, row, handle, id, acts) {
  let from = null, ghost = null, over = null;
  const find = (event) => {
    const target = document.elementsFromPoint(event.clientX, event.clientY).map((one) => one.closest?.(".llmx-x-row")).find(Boolean);
    return target && target !== row && page.root.contains(target) ? target : null;
  };
  const mark = (target) => { over?.classList.remove("llmx-x-over"); over = target; over?.classList.add("llmx-x-over"); };
  const end = () => { ghost?.remove(); mark(null); from = ghost = null; };
  handle.addEventListener("pointerdown", (event) => { if (event.button === 0) { from = [event.clientX, event.clientY]; delete handle.dataset.dragged; } });
  handle.addEventListener("pointermove", (event) => {
    if (!from) return;
    if (!ghost) {
      if (Math.hypot(event.clientX - from[0], event.clientY - from[1]) < DRAG) return;
      handle.setPointerCapture(event.pointerId);
      handle.dataset.dragged = "yes";
      ghost = h("div", { class: "llmx-x-ghost", text: row.querySelector(".llmx-x-label").textContent });
      page.root.append(ghost);
    }
    const box = page.root.getBoundingClientRect();
    ghost.style.left = `${event.clientX - box.left + 10}px`;
    ghost.style.top = `${event.clientY - box.top + 10}px`;
    mark(find(event));
    const name = over?.querySelector(".llmx-x-label").textContent;
    page.say(name ? `Drop to merge into “${name}”.` : "Drag onto another concept to merge them.");
  });
  handle.addEventListener("pointerup", () => {
    if (ghost && over) acts.merge([over.dataset.key, id]);
    if (ghost) setTimeout(() => delete handle.dataset.dragged, 0);
    end();
  });
  handle.addEventListener("pointercancel", end);
}

function addForm(page) {
  const name = h("input", { class: "llmx-input", "aria-label": "Name of the new concept", placeholder: "Name" });
  const criterion = h("textarea", { class: "llmx-input", rows: 2, "aria-label": "Criterion of the new concept", placeholder: "A yes/no question about one text" });
  const open = button({ icon: "plus", text: "Add", title: "Add a concept", "aria-expanded": "false" }, () => toggle(element.hidden));
  const add = () => { page.send("add", { name: name.value, criterion: criterion.value }); toggle(false); };
  const element = h("div", { class: "llmx-x-add", hidden: true }, name, criterion,
    h("p", { class: "llmx-small llmx-dim", text: "Without a name, one is made from the selected documents." }),
    h("div", { class: "llmx-row" }, h("span", { class: "llmx-grow" }), button({ text: "Cancel" }, () => toggle(false)), button({ text: "Add concept", kind: "main" }, add)));
  const toggle = (on) => {
    element.hidden = !on;
    set(open, { "aria-expanded": String(on) });
    if (on) name.focus();
    else { name.value = criterion.value = ""; open.focus(); }
  };
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape") toggle(false);
    else if (event.key === "Enter" && event.target === name) add();
  });
  return { element, open };
}
