// Takes Plotly's script before anything draws with it, so that the page reads it while the kernel computes.
import { bytes } from "./bytes.js";
import { plotly } from "./plotly.js";

export default {
  initialize({ model }) {
    model.on("msg:custom", (_content, buffers) => plotly(async () => bytes(buffers[0])).catch(() => {}));
  },
};
