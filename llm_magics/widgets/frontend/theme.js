// Whether the page is light or dark: JupyterLab and Notebook 7, VS Code, Colab, else the system; and changes of it.

/** "light" or "dark". */
export function theme() {
  const { body, documentElement: html } = document;
  if (body.dataset.jpThemeLight !== undefined) return body.dataset.jpThemeLight === "false" ? "dark" : "light";
  const kind = body.dataset.vscodeThemeKind;
  if (kind) return kind.includes("dark") || kind === "vscode-high-contrast" ? "dark" : "light";
  const said = html.getAttribute("theme");
  if (said === "dark" || said === "light") return said;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Call `tell` with the theme now and after each change; returns what ends that. */
export function followTheme(tell) {
  let known = null;
  const look = () => { const now = theme(); if (now !== known) { known = now; tell(now); } };
  const watch = new MutationObserver(look);
  watch.observe(document.body, { attributes: true });
  watch.observe(document.documentElement, { attributes: true });
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", look);
  look();
  return () => { watch.disconnect(); system.removeEventListener("change", look); };
}
