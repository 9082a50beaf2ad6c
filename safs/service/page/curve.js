// Stage 1: the cost of each trial and the best so far: first each operator everywhere, then what the searcher asked for.
// Trials have the numbers that the API and the log give them. Failed ones stand in a lane of their own above the costs.

import { inShort } from "./assignment.js";
import { bestOf, isValid } from "./best.js";
import { curveTable } from "./curve_table.js";
import { h, put, s, say } from "./dom.js";
import { cost, number, plural } from "./format.js";
import { panel } from "./panel.js";
import { plot } from "./plot.js";
import { linear, logarithmic, powers, ticks } from "./scales.js";

const HEIGHT = 300;
const LEFT = 52;
const RIGHT = 12;
const LANE = 14; // the middle of the lane of failed trials
const TOP = 34;
const BOTTOM = 36;
const FURTHEST = 100; // times the best: beyond, a cost is off the scale

export function curvePanel(id, signal) {
  const readout = h("p", { class: "readout", "aria-hidden": "true" });
  const words = h("figcaption", { class: "soft small" });
  const table = curveTable(id);
  let trials = [];
  const picture = plot((width) => draw(trials, width, (text) => say(readout, text)), signal);
  const none = h("p", { class: "soft" }, "No trial of stage 1 has ended yet.");
  const figure = h("figure", {}, words, picture.node, readout, legend());
  const node = panel("curve", "Stage 1: cost", none, figure, table.node);
  let told = "";
  let last = null;
  return {
    node,
    show({ picture: { stage1 } }) {
      if (stage1 === last) return;
      last = stage1;
      const text = JSON.stringify(stage1.map((trial) => [trial.n, trial.id, trial.cost, trial.status]));
      if (text === told) return;
      told = text;
      trials = stage1.map((trial) => ({ ...trial, at: trial.n, valid: isValid(trial), uniform: trial.phase === "uniform" }));
      none.hidden = trials.length > 0;
      figure.hidden = trials.length === 0;
      table.node.hidden = trials.length === 0;
      say(words, inWords(trials));
      picture.redraw();
      table.show(trials);
    },
  };
}

function inWords(trials) {
  if (!trials.length) return "";
  const failed = trials.filter((trial) => !trial.valid).length;
  const best = bestOf(trials);
  const uniform = trials.filter((trial) => trial.uniform).length;
  const parts = [plural(trials.length, "trial")];
  if (uniform) parts.push(`${uniform} with one operator everywhere`);
  if (failed) parts.push(`${failed} failed`);
  if (best) parts.push(`best ${number(best.cost)} at trial ${best.at}`);
  return parts.join(", ");
}

function legend() {
  const mark = (...shapes) => s("svg", { width: 22, height: 12, "aria-hidden": "true" }, shapes);
  return h(
    "ul",
    { class: "legend", "aria-hidden": "true" },
    h("li", {}, mark(s("circle", { class: "dot", cx: 11, cy: 6, r: 3.2 })), "trial of the search"),
    h("li", {}, mark(s("circle", { class: "dot hollow", cx: 11, cy: 6, r: 3.6 })), "one operator everywhere"),
    h("li", {}, mark(s("path", { class: "best", d: "M1 3H11V9H21" })), "best so far"),
    h("li", {}, mark(s("path", { class: "dot", d: "M7 9.5l4 -7l4 7z" })), "off the scale"),
    h("li", {}, mark(s("path", { class: "cross", d: "M7.5 2.5l7 7m0-7l-7 7" })), "failed"),
  );
}

function axis(trials, height) {
  const costs = trials.filter((trial) => trial.valid).map((trial) => trial.cost);
  if (!costs.length) return null;
  let low = Math.min(...costs);
  // What diverged (1e34) must not press the others flat.
  let high = Math.max(...costs.filter((one) => low <= 0 || one <= low * FURTHEST));
  if (low > 0 && high / low > 20) {
    low *= 0.9;
    high *= 1.1;
    return { logarithmic: true, high, y: logarithmic(low, high, height - BOTTOM, TOP), marks: powers(low, high) };
  }
  const room = (high - low || Math.abs(high) || 1) * 0.07;
  low -= room;
  high += room;
  return { logarithmic: false, high, y: linear(low, high, height - BOTTOM, TOP), marks: ticks(low, high, 5) };
}

function draw(trials, width, tell) {
  const y = axis(trials, HEIGHT);
  const first = trials[0]?.at ?? 1;
  const end = Math.max(first + 1, trials.at(-1)?.at ?? 2);
  const x = linear(first, end, LEFT + 8, width - RIGHT - 6);
  const label = `Cost of each trial of stage 1 and the best so far: ${inWords(trials)}. The table below has the same numbers.`;
  const pointer = s("line", { class: "pointer", y1: TOP - 6, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const node = s("svg", { class: "chart", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label });
  const rounds = ticks(first, end, Math.max(2, Math.floor(width / 90))).filter(Number.isInteger);
  put(
    node,
    y?.marks.map((mark) => [
      s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y.y(mark), y2: y.y(mark) }),
      s("text", { class: "tick", x: LEFT - 7, y: y.y(mark) + 4, "text-anchor": "end" }, number(mark)),
    ]),
    rounds.map((tick) => s("text", { class: "tick", x: x(tick), y: HEIGHT - BOTTOM + 17, "text-anchor": "middle" }, String(tick))),
    s("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }),
    s("text", { class: "axis-name", x: width - RIGHT, y: HEIGHT - 3, "text-anchor": "end" }, "trial"),
    s("text", { class: "axis-name", x: 0, y: LANE - 2 }, y?.logarithmic ? "cost, log scale" : "cost"),
    pointer,
    y && s("path", { class: "best", d: stairs(trials, x, (value) => y.y(Math.min(value, y.high)), width - RIGHT) }),
    trials.map((trial) =>
      trial.valid && trial.cost > y.high
        ? s("path", { class: trial.uniform ? "dot hollow" : "dot", d: `M${x(trial.at) - 4} ${TOP + 3}l4 -7l4 7z` })
        : trial.valid
        ? s("circle", { class: trial.uniform ? "dot hollow" : "dot", cx: x(trial.at), cy: y.y(trial.cost), r: trials.length > 150 ? 2 : trial.uniform ? 3.6 : 3.2 })
        : s("path", { class: "cross", d: `M${x(trial.at) - 3.5} ${LANE + 3.5}l7 7m0 -7l-7 7` }),
    ),
    star(bestOf(trials), x, y),
  );
  node.addEventListener("pointermove", (event) => {
    const left = event.clientX - node.getBoundingClientRect().left;
    const near = trials.reduce((best, trial) => (Math.abs(x(trial.at) - left) < Math.abs(x(best.at) - left) ? trial : best));
    pointer.setAttribute("x1", x(near.at));
    pointer.setAttribute("x2", x(near.at));
    pointer.setAttribute("visibility", "visible");
    tell(sentence(near));
  });
  node.addEventListener("pointerleave", () => {
    pointer.setAttribute("visibility", "hidden");
    tell("");
  });
  return node;
}

function sentence(trial) {
  const what = trial.valid ? `cost ${cost(trial.cost)}, best so far ${cost(trial.best)}` : `${String(trial.status).toLowerCase()}${trial.reason ? `, ${trial.reason}` : ""}`;
  return `Trial ${trial.at}: ${what} · ${inShort(trial.assignment ?? [])}`;
}

function stairs(trials, x, y, end) {
  let best = null;
  let path = "";
  for (const trial of trials) {
    if (!trial.valid || (best !== null && trial.cost >= best)) continue;
    path += best === null ? `M${x(trial.at)} ${y(trial.cost)}` : `H${x(trial.at)}V${y(trial.cost)}`;
    best = trial.cost;
  }
  return path && `${path}H${end}`;
}

function star(best, x, y) {
  return best && s("circle", { class: "ring", cx: x(best.at), cy: y.y(best.cost), r: 6.5 });
}
