// Plotly's own script, once a page: it comes compressed from the plotly package in the kernel, never from a network.

const KEPT = Symbol.for("llm_magics.plotly");

/** A promise of Plotly. `ask` requests the script from the kernel and promises its gzipped bytes. */
export function plotly(ask) {
  globalThis[KEPT] ??= ask().then(load).catch((error) => { delete globalThis[KEPT]; throw error; });
  return globalThis[KEPT];
}

async function load(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = await new Response(stream).text();
  // As a module of its own, so that neither a page's `define` nor its globals are touched.
  const whole = `const module = { exports: {} }, exports = module.exports, define = undefined;\n${script}\nexport default module.exports;`;
  const url = URL.createObjectURL(new Blob([whole], { type: "text/javascript" }));
  try {
    const { default: made } = await import(/* webpackIgnore: true */ url);
    return made;
  } finally {
    URL.revokeObjectURL(url);
  }
}
