// Parallel coordinates: an axis each for the hyperparameters and the cost, a line for each trial. Rank shows as colour and
// as thickness.

import { apart } from "./apart.js";
import { put, s } from "./dom.js";
import { cost, number } from "./format.js";
import { linear, logarithmic, powers, ticks } from "./scales.js";

const HEIGHT = 290;
const TOP = 40;
const BOTTOM = 26;
const SIDE = 44;
const GRADES = 5;
const GAP = 15; // from label to label

export function parallel(trials, width, tell) {
  const node = s("svg", { class: "chart", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": "Hyperparameters and cost of each trial of stage 2. The table below has the same numbers." });
  const axes = axesOf(trials);
  const x = linear(0, Math.max(1, axes.length - 1), SIDE, width - SIDE - 14);
  const places = axes.map((axis, index) => ({ ...axis, x: x(index) }));
  // The best is drawn last, so that nothing covers it.
  const order = [...trials].sort((a, b) => (b.rank ?? Infinity) - (a.rank ?? Infinity));
  const lines = order.map((trial) => line(trial, places));
  put(node, places.map(drawAxis), lines, places.map(drawMarks));
  node.addEventListener("pointerover", (event) => {
    const index = lines.indexOf(event.target.closest("g.trial"));
    lines.forEach((each, at) => each.classList.toggle("near", at === index));
    tell(index < 0 ? "" : sentence(order[index]));
  });
  node.addEventListener("pointerleave", () => {
    lines.forEach((each) => each.classList.remove("near"));
    tell("");
  });
  return node;
}

function axesOf(trials) {
  const low = HEIGHT - BOTTOM;
  return [
    numbers("learning rate", trials.map((trial) => trial.lr), (trial) => trial.lr, low, true),
    names("optimiser", trials, (trial) => trial.optimizer, low),
    names("schedule", trials, (trial) => trial.schedule, low),
    numbers("weight decay", trials.map((trial) => trial.weight_decay), (trial) => trial.weight_decay, low, true),
    numbers("momentum", trials.map((trial) => trial.momentum), (trial) => trial.momentum, low, false),
    numbers("cost", trials.map((trial) => trial.cost), (trial) => trial.cost, low, false),
  ].filter(Boolean);
}

// Values that a logarithm cannot take, and none at all, stand on a rest mark under the axis.
function numbers(label, values, value, low, log) {
  const known = values.filter((each) => typeof each === "number" && Number.isFinite(each) && (!log || each > 0));
  if (!known.length) return null;
  const rest = known.length < values.length;
  const end = rest ? low - 30 : low;
  const from = Math.min(...known);
  const to = Math.max(...known);
  const room = log ? 1 : (to - from || Math.abs(to) || 1) * 0.04;
  const scale = log ? logarithmic(from / (from === to ? 2 : 1.15), to * (from === to ? 2 : 1.15), end, TOP) : linear(from - room, to + room, end, TOP);
  // Values that are written alike have one mark.
  const distinct = [...new Map(known.map((each) => [number(each), each])).values()];
  const marks = distinct.length <= 4 ? distinct : log ? powers(from / 1.15, to * 1.15) : ticks(from - room, to + room, 4);
  return {
    label,
    end,
    marks: [...(marks.length ? marks : [from]).map((mark) => [scale(mark), number(mark)]), ...(rest ? [[low, log && values.includes(0) ? "0, none" : "none"]] : [])],
    at(trial) {
      const own = value(trial);
      return typeof own === "number" && Number.isFinite(own) && (!log || own > 0) ? scale(own) : low;
    },
  };
}

function names(label, trials, value, low) {
  const all = [...new Set(trials.map(value).filter(Boolean))].sort();
  if (!all.length) return null;
  const scale = linear(0, Math.max(1, all.length - 1), TOP + 8, low - 8);
  const at = (name) => (all.length === 1 ? (TOP + low) / 2 : scale(all.indexOf(name)));
  return { label, end: low, marks: all.map((name) => [at(name), String(name).replaceAll("_", " ")]), at: (trial) => (all.includes(value(trial)) ? at(value(trial)) : low) };
}

function drawAxis(axis) {
  return s(
    "g",
    {},
    s("line", { class: "axis", x1: axis.x, x2: axis.x, y1: TOP, y2: axis.end }),
    s("text", { class: "axis-name", x: axis.x, y: 18, "text-anchor": "middle" }, axis.label),
  );
}

// Over the lines, with a halo, or they could not be read.
function drawMarks(axis) {
  const places = apart(axis.marks.map(([y]) => y), GAP, TOP, HEIGHT - BOTTOM + 8);
  return s(
    "g",
    { class: "marks" },
    axis.marks.map(([y, text], index) => [
      s("path", { class: "axis leader", d: `M${axis.x - 3} ${y}H${axis.x + 3}L${axis.x + 8} ${places[index]}` }),
      s("text", { class: "tick halo", x: axis.x + 10, y: places[index] + 4 }, text),
    ]),
  );
}

function line(trial, axes) {
  const grade = trial.rank === null ? "none" : trial.rank === 1 ? "best" : Math.min(GRADES - 1, Math.floor((GRADES * (trial.rank - 1)) / trial.of));
  const path = axes.map((axis, index) => `${index ? "L" : "M"}${axis.x.toFixed(1)} ${axis.at(trial).toFixed(1)}`).join("");
  return s("g", { class: `trial grade-${grade}` }, s("path", { class: "wide", d: path }), s("path", { class: "line", d: path }));
}

function sentence(trial) {
  const parts = [`lr ${number(trial.lr)}`, trial.optimizer, trial.schedule && String(trial.schedule).replaceAll("_", " ")];
  if (trial.weight_decay) parts.push(`weight decay ${number(trial.weight_decay)}`);
  if (trial.momentum) parts.push(`momentum ${number(trial.momentum)}`);
  return `${trial.rank === null ? String(trial.status).toLowerCase() : `#${trial.rank}, cost ${cost(trial.cost)}`} · ${parts.filter(Boolean).join(", ")}`;
}
