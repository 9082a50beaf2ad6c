// A titled part of the view of a study.

import { freshId, h } from "./dom.js";

export function panel(name, heading, ...children) {
  const id = freshId(name);
  return h("section", { class: `panel panel-${name}`, "aria-labelledby": id }, h("h2", { id }, heading), children);
}
