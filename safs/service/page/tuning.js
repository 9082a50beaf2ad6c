// Stage 2: the hyperparameters that were tried, as parallel coordinates and as a table to sort.

import { h, say } from "./dom.js";
import { cost, number, plural } from "./format.js";
import { panel } from "./panel.js";
import { parallel } from "./parallel.js";
import { plot } from "./plot.js";
import { sortable } from "./sortable.js";

const ARMS = { safs: "found", stage2: "original" };
const COLUMNS = [
  { key: "rank", label: "#", numeric: true, value: (trial) => trial.rank },
  { key: "cost", label: "Cost", numeric: true, value: (trial) => trial.cost, text: (trial) => cost(trial.cost) },
  { key: "lr", label: "Learning rate", numeric: true, value: (trial) => trial.lr, text: (trial) => number(trial.lr) },
  { key: "optimizer", label: "Optimiser", value: (trial) => trial.optimizer },
  { key: "schedule", label: "Schedule", value: (trial) => trial.schedule },
  { key: "weight_decay", label: "Weight decay", numeric: true, value: (trial) => trial.weight_decay, text: (trial) => number(trial.weight_decay) },
  { key: "momentum", label: "Momentum", numeric: true, value: (trial) => trial.momentum, text: (trial) => number(trial.momentum) },
  { key: "folds", label: "Folds", numeric: true, value: (trial) => trial.folds },
  { key: "status", label: "Status", value: (trial) => String(trial.status ?? "").toLowerCase().replaceAll("_", " ") },
];
const ARM = { key: "phase", label: "Operators", value: (trial) => ARMS[trial.phase] ?? trial.phase };

export function tuningPanel(signal) {
  const words = h("figcaption", { class: "soft small" });
  const readout = h("p", { class: "readout", "aria-hidden": "true" });
  let trials = [];
  const picture = plot((width) => parallel(trials, width, (text) => say(readout, text)), signal);
  // As wide as it must be; the region scrolls where the page is narrower.
  const scroll = h("div", { class: "scroll plain", role: "region", tabindex: 0, "aria-label": "Picture of the trials of stage 2" }, h("div", { class: "least-wide" }, picture.node));
  const figure = h("figure", {}, words, scroll, readout);
  const none = h("p", { class: "soft" }, "No trial of stage 2 has begun yet.");
  const place = h("div", {});
  const node = panel("tuning", "Stage 2: hyperparameters", none, figure, place);
  let table = null;
  let told = "";
  let last = null;
  return {
    node,
    show({ picture: { stage2 } }) {
      if (stage2 === last) return;
      last = stage2;
      const text = JSON.stringify(stage2);
      if (text === told) return;
      told = text;
      trials = ranked(stage2);
      none.hidden = trials.length > 0;
      figure.hidden = place.hidden = trials.length === 0;
      const best = trials.find((trial) => trial.rank === 1);
      const failed = trials.filter((trial) => trial.status === "FAILED").length;
      say(words, `${plural(trials.length, "trial")}${failed ? `, ${failed} failed` : ""}${best ? `, best cost ${cost(best.cost)} with ${best.optimizer}, lr ${number(best.lr)}` : ""}. The thickest line is the best, the dashed ones failed or have no cost yet.`);
      picture.redraw();
      if (!table && trials.length) {
        const arms = trials.some((trial) => trial.phase) ? [ARM] : [];
        table = sortable([...COLUMNS.slice(0, 2), ...arms, ...COLUMNS.slice(2)], { label: "Trials of stage 2", sort: "cost", marked: (trial) => (trial.rank === 1 ? "ours" : null) });
        place.append(table.node);
      }
      table?.show(trials);
    },
  };
}

function ranked(trials) {
  const valid = trials.filter((trial) => typeof trial.cost === "number" && trial.status !== "FAILED").sort((a, b) => a.cost - b.cost);
  const ranks = new Map(valid.map((trial, index) => [trial, index + 1]));
  return trials.map((trial) => ({ ...trial, cost: typeof trial.cost === "number" ? trial.cost : null, rank: ranks.get(trial) ?? null, of: valid.length }));
}
