// The trials of stage 1 as a table, for those whom the picture does not serve.

import * as api from "./api.js";
import { inShort } from "./assignment.js";
import { readText } from "./dialog.js";
import { h, hidden } from "./dom.js";
import { cost } from "./format.js";
import { sortable } from "./sortable.js";

export function curveTable(id) {
  const log = (trial) =>
    h("button", { type: "button", class: "link", click: () => readText(`Trial ${trial.id}`, (signal) => api.trialLog(id, trial.id, signal)) }, "Log", hidden(` of trial ${trial.at}`));
  const table = sortable(
    [
      { key: "at", label: "Trial", numeric: true, value: (trial) => trial.at },
      { key: "phase", label: "Of", value: (trial) => (trial.uniform ? "one operator everywhere" : "search") },
      { key: "cost", label: "Cost", numeric: true, value: (trial) => (trial.valid ? trial.cost : null), text: (trial) => (trial.valid ? cost(trial.cost) : "–") },
      { key: "best", label: "Best so far", numeric: true, value: (trial) => trial.best, text: (trial) => cost(trial.best) },
      { key: "status", label: "Status", value: (trial) => trial.status, text: (trial) => String(trial.status ?? "").toLowerCase().replaceAll("_", " ") },
      { key: "operators", label: "Operators", value: (trial) => inShort(trial.assignment ?? []) },
      { key: "log", label: "Log", node: log },
    ],
    { label: "Trials of stage 1", sort: "at", up: true },
  );
  const node = h("details", {}, h("summary", {}, "Trials as a table"), table.node);
  let latest = [];
  // A closed table is not built: there may be thousands of rows.
  const build = () => node.open && table.show(latest);
  node.addEventListener("toggle", build);
  return {
    node,
    show(trials) {
      latest = trials;
      build();
    },
  };
}
