// The rows of the summary: test accuracy beside each baseline, as numbers and on one scale. The roles are written out
// because at phone width a row is laid out as a card, which else takes its meaning away.

import { h, hidden, put, s } from "./dom.js";
import { NONE } from "./format.js";
import { panel } from "./panel.js";
import { ALL_ROWS, rowWords } from "./words.js";

export function baselinesPanel() {
  const claim = h("p", { class: "claim" });
  const body = h("tbody", { role: "rowgroup" });
  const table = h(
    "table",
    { class: "baselines", role: "table" },
    h("caption", { class: "hidden" }, "Test accuracy in percent, mean and standard deviation over seeds"),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head(hidden("Row"), null), HEADS.map((word) => head(word, "num")), h("td", { class: "dots-head", role: "cell" }))),
    body,
  );
  const scroll = h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Baselines" }, table);
  const node = panel("baselines", "Test accuracy", claim, scroll);
  let told = "";
  return {
    node,
    show({ study, picture }) {
      const rows = study.summary?.rows ?? picture.rows;
      node.hidden = !rows?.length;
      const text = JSON.stringify(rows ?? null);
      if (text === told || node.hidden) return;
      told = text;
      const named = new Map(rows.map((row) => [row.name, row]));
      const names = [...ALL_ROWS, ...[...named.keys()].filter((name) => !ALL_ROWS.includes(name))];
      const vanilla = mean(named.get("vanilla"));
      const scale = range(rows);
      const absent = (name) => (name === "dense" && study.checkpoint ? "not given" : "not run");
      put(body, names.map((name) => oneRow(name, named.get(name), absent(name), vanilla, scale)));
      put(claim, claimOf(mean(named.get("safs")), vanilla));
    },
  };
}

const HEADS = ["Accuracy %", "± std", "n", "vs. vanilla"];
const head = (inside, kind) => h("th", { scope: "col", role: "columnheader", class: kind }, inside);
// Under `data-head` it stands where the heads do not show.
const cell = (index, kind, text) => h("td", { role: "cell", class: `num ${kind}${text === NONE ? " none" : ""}`, "data-head": HEADS[index] }, text);
const mean = (row) => (typeof row?.test_accuracy?.mean === "number" ? row.test_accuracy.mean : null);
const spread = (row) => (typeof row?.test_accuracy?.std === "number" ? row.test_accuracy.std : 0);
const signed = (value) => `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(2)}`;

function claimOf(safs, vanilla) {
  if (safs === null) return null;
  const difference = vanilla === null ? null : safs - vanilla;
  return [
    h("strong", { class: "figure-number" }, `${safs.toFixed(2)} %`),
    difference === null ? " with SAFS" : [" with SAFS, ", h("strong", {}, `${signed(difference)} points`), ` against vanilla fine-tuning (${vanilla.toFixed(2)} %)`],
  ];
}

function range(rows) {
  const low = [];
  const high = [];
  for (const row of rows) {
    if (mean(row) === null) continue;
    low.push(mean(row) - spread(row));
    high.push(mean(row) + spread(row));
  }
  const from = Math.min(...low);
  const to = Math.max(...high);
  const room = Math.max((to - from) * 0.06, 0.2);
  return { from: from - room, to: to + room };
}

function oneRow(name, row, absent, vanilla, scale) {
  const [word, about] = rowWords(name);
  const value = mean(row);
  const failed = row?.failed ? `${row.failed} failed` : row && value === null ? "failed" : "";
  return h(
    "tr",
    { role: "row", class: name === "safs" ? "ours" : null },
    h("th", { scope: "row", role: "rowheader" }, word, h("span", { class: "soft small about" }, row ? about : absent), failed && h("span", { class: "small bad-text about" }, failed)),
    cell(0, "strong", value === null ? NONE : value.toFixed(2)),
    cell(1, "soft", value === null || (row.test_accuracy.n ?? 0) < 2 ? NONE : spread(row).toFixed(2)),
    cell(2, "soft", value === null ? NONE : String(row.test_accuracy.n ?? NONE)),
    cell(3, "", value === null || vanilla === null || name === "vanilla" || name === "dense" ? NONE : signed(value - vanilla)),
    h("td", { role: "cell", class: "dots" }, value === null ? null : dot(value, spread(row), vanilla, scale)),
  );
}

function dot(value, std, vanilla, { from, to }) {
  const x = (accuracy) => `${((100 * (accuracy - from)) / (to - from)).toFixed(2)}%`;
  return s(
    "svg",
    { width: "100%", height: 20, "aria-hidden": "true" },
    s("line", { class: "dots-line", x1: "0%", x2: "100%", y1: 10, y2: 10 }),
    vanilla === null ? null : s("line", { class: "dots-vanilla", x1: x(vanilla), x2: x(vanilla), y1: 0, y2: 20 }),
    std ? s("line", { class: "dots-std", x1: x(value - std), x2: x(value + std), y1: 10, y2: 10 }) : null,
    s("circle", { class: "dots-mean", cx: x(value), cy: 10, r: 4.5 }),
  );
}
