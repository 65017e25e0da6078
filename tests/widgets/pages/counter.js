// A panel for tests: a number, a button that adds to it, a field, a question, an array, Plotly.
import { panel } from "../../../llm_magics/widgets/frontend/panel.js";
import { button, h, select, set } from "../../../llm_magics/widgets/frontend/dom.js";
import { openMenu } from "../../../llm_magics/widgets/frontend/menu.js";

export default panel((page) => {
  const count = h("output", { class: "count" }), sum = h("output", { class: "sum" });
  const add = button({ text: "Add" }, () => page.send("add", { by: 2 }));
  const fail = button({ text: "Fail" }, () => page.send("fail"));
  const ask = button({ text: "Ask" }, async () => page.say(await page.ask("double", { number: 21 })));
  const menu = button({ icon: "more", title: "More", "aria-haspopup": "menu" }, () => openMenu(page.root, menu, [
    { text: "Add ten", act: () => page.send("add", { by: 10 }) }, null, { text: "Never", off: true, act: () => page.send("fail") },
  ]));
  const chart = button({ text: "Chart" }, async () => page.say(`Plotly ${(await page.plotly()).version}`));
  const choice = select("Choice", (value) => page.say(`chosen: ${JSON.stringify(value)}`));
  choice.fill([["", "nothing"], ["a", "A"], ["Group", [["", "also nothing"], ["b", "B"]]]], "a");
  page.root.append(h("div", { class: "llmx-row llmx-bar llmx-wrap" }, count, sum, add, fail, ask, menu, chart, choice.field, h("input", { class: "llmx-input", "aria-label": "Field" })));
  return {
    count: (value) => set(count, { text: value }),
    numbers: ({ all }) => set(sum, { text: `${all.constructor.name} ${all.reduce((a, b) => a + b, 0)}` }),
  };
});
