// A background job under its cell: what it is at, a bar, a button that stops it.
import { panel } from "./frontend/panel.js";
import { h, set, button } from "./frontend/dom.js";

export default panel((page) => {
  const line = page.status, fill = h("span", { class: "llmx-fill" });
  const stop = button({ text: "Stop", title: "Stop the job; what was answered is kept" }, () => { stop.disabled = true; page.send("stop"); });
  set(line, { style: { border: "0", padding: "0", "min-height": "0" } });
  const body = h("div", { class: "llmx-grow" }, line, h("span", { class: "llmx-track", "aria-hidden": "true", style: { "margin-top": "5px" } }, fill));
  page.root.append(h("div", { class: "llmx-row llmx-job", style: { padding: "8px 12px", gap: "16px" } }, body, stop));
  return { share: (share) => { fill.style.width = `${100 * share}%`; } };
});
