// A state as a shape and a word; the shape tells it without colour.

import { h, put, s } from "./dom.js";
import { stateSentence } from "./words.js";

const SHAPES = {
  QUEUED: () => s("circle", { cx: 6, cy: 6, r: 4.2, fill: "none", stroke: "currentColor", "stroke-width": 1.6, "stroke-dasharray": "2.4 2" }),
  RUNNING: () => [
    s("circle", { cx: 6, cy: 6, r: 4.2, fill: "none", stroke: "currentColor", "stroke-width": 1.6 }),
    s("path", { class: "beat", d: "M6 1.8a4.2 4.2 0 0 1 0 8.4z", fill: "currentColor" }),
  ],
  SUCCEEDED: () => s("path", { d: "M2 6.4l2.8 2.9L10.2 2.8", fill: "none", stroke: "currentColor", "stroke-width": 2 }),
  FAILED: () => s("path", { d: "M2.4 2.4l7.2 7.2M9.6 2.4l-7.2 7.2", fill: "none", stroke: "currentColor", "stroke-width": 2 }),
  CANCELED: () => s("path", { d: "M2 6h8", fill: "none", stroke: "currentColor", "stroke-width": 2 }),
};

/** A badge that `show(study)` keeps up to date. */
export function badge() {
  const node = h("span", { class: "badge" });
  let shown = "";
  return {
    node,
    show(study) {
      const sentence = stateSentence(study);
      if (shown === sentence) return;
      shown = sentence;
      node.className = `badge badge-${String(study.state).toLowerCase()}`;
      const shape = SHAPES[study.state];
      put(node, shape && s("svg", { width: 12, height: 12, viewBox: "0 0 12 12", "aria-hidden": "true" }, shape()), sentence);
    },
  };
}
