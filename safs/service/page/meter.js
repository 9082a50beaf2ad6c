// A progress bar.

import { s } from "./dom.js";
import { percent } from "./format.js";

export function meter(label) {
  const bar = s("rect", { class: "meter-done", width: "0%", height: "100%" });
  const node = s(
    "svg",
    { class: "meter", width: "100%", height: 6, role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 },
    s("rect", { class: "meter-all", width: "100%", height: "100%" }),
    bar,
  );
  return {
    node,
    show(done, still) {
      const share = Math.max(0, Math.min(1, Number(done) || 0));
      bar.setAttribute("width", `${(100 * share).toFixed(2)}%`);
      node.setAttribute("aria-valuenow", Math.floor(100 * share));
      node.setAttribute("aria-valuetext", percent(share));
      node.classList.toggle("still", Boolean(still));
    },
  };
}
