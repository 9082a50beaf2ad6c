// A place for a picture: drawn at its real width, so that text keeps its size, and again when the width changes.

import { h, put } from "./dom.js";

export function plot(draw, signal) {
  const node = h("div", { class: "plot" });
  let width = 0;
  function redraw() {
    if (width > 0) put(node, draw(width));
  }
  const observer = new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now === width) return;
    width = now;
    requestAnimationFrame(redraw);
  });
  observer.observe(node);
  signal.addEventListener("abort", () => observer.disconnect());
  return { node, redraw };
}
