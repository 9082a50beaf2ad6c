// Sites × operators: how often stage 1 tried each operator at each site, and which the incumbent has. A slider goes back
// in the search.

import { bestOf } from "./best.js";
import { freshId, h, hidden, put, say } from "./dom.js";
import { cost, plural } from "./format.js";
import { panel } from "./panel.js";

const SHADES = 5;

export function operatorsPanel() {
  const until = freshId("until");
  const slider = h("input", { type: "range", id: until, min: 1, max: 1, value: 1, step: 1, input: moved });
  const shown = h("output", { for: until, class: "num" });
  const readout = h("p", { class: "readout", "aria-hidden": "true" });
  const legend = h("ul", { class: "legend", "aria-hidden": "true" });
  const words = h("figcaption", { class: "soft small" });
  const head = h("tr", {});
  const body = h("tbody", {});
  const table = h("table", { class: "map" }, h("caption", { class: "hidden" }, "How often each operator was tried at each site"), h("thead", {}, head), body);
  const scroll = h("div", { class: "scroll tall", role: "region", tabindex: 0, "aria-label": "Operators by site" }, table);
  const none = h("p", { class: "soft" }, "The sites are known when the study has begun.");
  const figure = h("figure", {}, words, h("div", { class: "slider" }, h("label", { for: until }, "After trial"), slider, shown), scroll, readout, legend);
  const node = panel("operators", "Operators by site", none, figure);
  let picture = null;
  let told = "";
  let last = null;
  let layout = "";
  let follows = true; // the slider stays at the end while trials come in

  table.addEventListener("pointerover", (event) => {
    const cell = event.target.closest("td");
    say(readout, cell?.dataset.about ?? "");
  });
  table.addEventListener("pointerleave", () => say(readout, ""));

  function moved() {
    follows = Number(slider.value) === Number(slider.max);
    draw();
  }

  function draw() {
    const upto = Number(slider.value);
    const past = picture.stage1.slice(0, upto);
    const atEnd = upto >= picture.stage1.length;
    const incumbent = bestOf(past);
    const chosen = atEnd && picture.chosen ? picture.chosen : incumbent?.assignment ?? null;
    const word = atEnd && picture.chosen ? "chosen" : "incumbent";
    const operators = operatorsOf(picture);
    const position = past.length ? `${past.at(-1).n} (${upto} of ${picture.stage1.length})` : "none yet";
    say(shown, position);
    slider.setAttribute("aria-valuetext", position);
    say(words, `${plural(picture.sites.length, "site")}, ${plural(operators.length, "operator")}. ${word === "chosen" ? "The chosen assignment is marked." : incumbent ? `The incumbent is marked: cost ${cost(incumbent.cost)}.` : "There is no incumbent yet."}`);
    put(legend, h("li", {}, h("span", { class: "swatch on" }), word), h("li", {}, h("span", { class: "swatch shade-1" }), h("span", { class: "swatch shade-5" }), "tried, the stronger the more often"), h("li", {}, h("span", { class: "swatch origin" }), "original"));
    drawHead(operators);
    const cells = count(past);
    const most = Math.max(1, ...[...cells.values()].map((cell) => cell.trials.length));
    picture.sites.forEach((site, index) => {
      const row = body.children[index];
      operators.forEach((operator, column) => {
        const found = cells.get(`${index} ${operator}`);
        drawCell(row.children[column + 1], { site, operator, found, most, word: chosen?.[index] === operator ? word : null });
      });
    });
  }

  function drawHead(operators) {
    const next = JSON.stringify([operators, picture.sites]);
    if (next === layout) return;
    layout = next;
    put(head, h("th", { scope: "col", class: "corner" }, "Site"), operators.map((operator) => h("th", { scope: "col" }, h("span", {}, operator))));
    put(body, picture.sites.map((site) => h("tr", {}, h("th", { scope: "row", title: `original: ${site.original}` }, site.name), operators.map(() => h("td", {})))));
  }

  return {
    node,
    show({ picture: next }) {
      if (next === last) return;
      last = next;
      const text = JSON.stringify([next.sites, next.operators, next.chosen, next.stage1.map((trial) => [trial.n, trial.id, trial.cost, trial.status])]);
      if (text === told) return;
      told = text;
      picture = next;
      none.hidden = picture.sites.length > 0;
      figure.hidden = !none.hidden;
      slider.max = Math.max(1, picture.stage1.length);
      slider.disabled = picture.stage1.length < 2;
      if (follows) slider.value = slider.max;
      if (!figure.hidden) draw();
    },
  };
}

/** The operators that are searched, then others that a site had or was given. */
function operatorsOf({ operators, sites, stage1 }) {
  const all = new Set(operators);
  for (const site of sites) all.add(site.original);
  for (const trial of stage1) for (const operator of trial.assignment ?? []) all.add(operator);
  return [...all];
}

function count(trials) {
  const cells = new Map();
  for (const trial of trials) {
    (trial.assignment ?? []).forEach((operator, site) => {
      const key = `${site} ${operator}`;
      if (!cells.has(key)) cells.set(key, { trials: [], best: null });
      const cell = cells.get(key);
      cell.trials.push(trial.n);
      if (typeof trial.cost === "number" && (cell.best === null || trial.cost < cell.best)) cell.best = trial.cost;
    });
  }
  return cells;
}

function drawCell(cell, { site, operator, found, most, word }) {
  const times = found?.trials.length ?? 0;
  const shade = times ? Math.max(1, Math.ceil((SHADES * times) / most)) : 0;
  const origin = site.original === operator;
  const kind = [word ? "on" : `shade-${shade}`, origin && "origin"].filter(Boolean).join(" ");
  const when = times ? ` in ${times > 1 ? "trials" : "trial"} ${listed(found.trials)}, best cost ${cost(found.best)}` : "";
  const tried = times ? `tried ${plural(times, "time")}` : "not tried";
  const marks = `${word ? `; ${word}` : ""}${origin ? "; the original" : ""}`;
  const about = `${site.name} · ${operator}: ${tried}${when}${marks}`;
  if (cell.dataset.about === about && cell.className === kind) return;
  cell.className = kind;
  cell.dataset.about = about;
  // The heads of row and column are read with a cell; no title, which is read in place of an empty one.
  put(cell, h("span", { "aria-hidden": "true" }, times ? String(times) : ""), hidden(`${tried}${marks}`));
}

function listed(trials) {
  return trials.length <= 8 ? trials.join(", ") : `${trials.slice(0, 3).join(", ")} … ${trials.slice(-3).join(", ")}`;
}
