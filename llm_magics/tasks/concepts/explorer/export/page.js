"use strict";
// The exported page: concepts choose, search lights up, points open. Every text is put in as text.
(() => {
  const data = JSON.parse(document.getElementById("llmx-data").textContent);
  const page = document.querySelector(".llmx-page");
  const map = page.querySelector(".map");
  const points = map ? [...map.querySelectorAll("use[data-i]")] : [];
  const PAGE = 20;
  const state = { concept: null, query: "", one: null, page: 0 };
  const at = (id) => document.getElementById(id);
  const list = at("llmx-documents"), head = at("llmx-head"), said = at("llmx-said"), card = at("llmx-card");
  const lower = data.documents.map((one) => one.text.toLowerCase());

  const make = (tag, name, text) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const dot = (k) => {
    const made = make("i");
    made.style.background = data.concepts[k].colour;
    return made;
  };

  function found() {
    const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
    const inside = state.concept === null ? null : data.concepts[state.concept].rows;
    const rows = inside === null ? data.documents.map((_, i) => i) : inside;
    return rows.filter((i) => words.every((word) => lower[i].includes(word)));
  }

  function marked(text, quotes) {
    const made = document.createDocumentFragment();
    const low = text.toLowerCase();
    const spans = [];
    for (const quote of quotes.map((one) => one.toLowerCase()).filter(Boolean)) {
      for (let from = low.indexOf(quote); from >= 0 && spans.length < 50; from = low.indexOf(quote, from + quote.length)) {
        spans.push([from, from + quote.length]);
      }
    }
    spans.sort((a, b) => a[0] - b[0]);
    let end = 0;
    for (const [from, to] of spans) {
      if (from < end) continue;
      made.append(text.slice(end, from), make("mark", "", text.slice(from, to)));
      end = to;
    }
    made.append(text.slice(end));
    return made;
  }

  function documentOf(i) {
    const one = data.documents[i];
    const made = make("div", "doc");
    const quotes = state.query ? state.query.split(/\s+/) : one.quotes[state.concept] ? [one.quotes[state.concept]] : [];
    const score = state.concept === null ? "" : one.scores[state.concept];
    made.append(make("span", "dim", `document ${one.label}${score ? ` · score ${score}` : ""}`), marked(one.text, quotes));
    const tags = make("div");
    for (const k of Object.keys(one.scores)) {
      const tag = make("span", "tag");
      tag.append(dot(k), data.concepts[k].name);
      tags.append(tag);
    }
    made.append(tags);
    return made;
  }

  function draw() {
    const one = state.one;
    const rows = one === null ? found() : [one];
    const all = state.concept === null && !state.query && one === null;
    const shown = new Set(all ? [] : rows);
    if (map) map.classList.toggle("some", !all);
    for (const point of points) {
      const i = Number(point.dataset.i);
      point.classList.toggle("on", shown.has(i));
      point.classList.toggle("here", i === one);
    }
    for (const button of page.querySelectorAll("button.concept")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.k) === state.concept));
    }
    const name = state.concept === null ? "All documents" : data.concepts[state.concept].name;
    head.replaceChildren(make("h2", "", one === null ? name : `Document ${data.documents[one].label}`));
    if (state.concept !== null && one === null) head.append(make("p", "dim", data.concepts[state.concept].criterion));
    if (one !== null) {
      const back = make("button", "back", "Back to the list");
      back.type = "button";
      back.addEventListener("click", () => { state.one = null; draw(); });
      head.append(back);
    }
    const last = Math.max(0, Math.ceil(rows.length / PAGE) - 1);
    state.page = Math.min(state.page, last);
    const from = state.page * PAGE;
    list.replaceChildren(...rows.slice(from, from + PAGE).map(documentOf));
    const told = rows.length ? `${from + 1} to ${Math.min(from + PAGE, rows.length)} of ${rows.length}` : "nothing found";
    said.textContent = one === null ? told : "";
    at("llmx-before").disabled = state.page === 0;
    at("llmx-after").disabled = state.page >= last;
  }

  for (const row of page.querySelectorAll("div.concept")) {
    const button = make("button", "concept");
    button.type = "button";
    button.dataset.k = row.dataset.k;
    button.append(...row.childNodes);
    row.replaceWith(button);
    button.addEventListener("click", () => {
      const k = Number(button.dataset.k);
      Object.assign(state, { concept: state.concept === k ? null : k, one: null, page: 0 });
      draw();
    });
  }
  at("llmx-search").addEventListener("input", (event) => {
    Object.assign(state, { query: event.target.value.trim(), one: null, page: 0 });
    draw();
  });
  at("llmx-before").addEventListener("click", () => { state.page -= 1; draw(); });
  at("llmx-after").addEventListener("click", () => { state.page += 1; draw(); });
  if (map) {
    const of = (event) => event.target.closest("use[data-i]");
    map.addEventListener("click", (event) => {
      const point = of(event);
      if (point) { state.one = Number(point.dataset.i); draw(); }
    });
    map.addEventListener("mousemove", (event) => {
      const point = of(event);
      card.hidden = !point;
      if (!point) return;
      const one = data.documents[Number(point.dataset.i)];
      card.textContent = one.text.length > 240 ? `${one.text.slice(0, 240)}…` : one.text;
      card.style.left = `${Math.min(event.clientX + 14, innerWidth - 360)}px`;
      card.style.top = `${event.clientY + 14}px`;
    });
    map.addEventListener("mouseleave", () => { card.hidden = true; });
  }
  for (const part of page.querySelectorAll(".scripted")) part.hidden = false;
  for (const part of page.querySelectorAll(".unscripted")) part.hidden = true;
  page.querySelector(".columns").classList.add("live");
  draw();
})();
