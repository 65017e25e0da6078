// Plotly's own script, once a page: it comes compressed from the plotly package in the kernel, never from a network.

const KEPT = Symbol.for("llm_magics.plotly");

/** A promise of Plotly. `ask` requests the script from the kernel and promises its gzipped bytes. */
export function plotly(ask) {
  globalThis[KEPT] ??= ask().then(load).catch((error) => { delete globalThis[KEPT]; throw error; });
  return globalThis[KEPT];
}

async function load(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = await new Response(stream, { headers: { "content-type": "text/javascript" } }).blob();
  const url = URL.createObjectURL(script);
  try {
    const { default: made } = await import(/* webpackIgnore: true */ url);
    return made;
  } finally {
    URL.revokeObjectURL(url);
  }
}
