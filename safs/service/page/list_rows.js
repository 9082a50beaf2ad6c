// The table of studies. A row lives as long as its study is listed, so a refresh moves neither focus nor selection.

import { badge } from "./badge.js";
import { h, say } from "./dom.js";
import { ago, clock, duration, percent } from "./format.js";
import { meter } from "./meter.js";
import { hasEnded, phaseWord } from "./words.js";

const HEADS = ["State", "Name", "Network", "Progress", "Time left", "Created"];

// The roles are written out because at phone width a row is laid out as a card, which else takes its meaning away.
export function rows() {
  const body = h("tbody", { role: "rowgroup" });
  const known = new Map();
  const node = h(
    "div",
    { class: "scroll", role: "region", tabindex: 0, "aria-label": "Studies" },
    h(
      "table",
      { class: "studies", role: "table" },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, HEADS.map((head) => h("th", { scope: "col", role: "columnheader" }, head)))),
      body,
    ),
  );
  return {
    node,
    show(studies) {
      const ids = new Set(studies.map((study) => study.id));
      for (const [id, row] of known) {
        if (ids.has(id)) continue;
        row.node.remove();
        known.delete(id);
      }
      studies.forEach((study, index) => {
        if (!known.has(study.id)) known.set(study.id, oneRow(study));
        const row = known.get(study.id);
        row.show(study);
        if (body.children[index] !== row.node) body.insertBefore(row.node, body.children[index] ?? null);
      });
    },
  };
}

function oneRow(study) {
  const state = badge();
  const link = h("a", { href: `#/studies/${encodeURIComponent(study.id)}` });
  const about = h("span", { class: "soft small" });
  const network = h("span", {});
  const data = h("span", { class: "soft small" });
  const progress = meter("Progress");
  const phase = h("span", { class: "soft small" });
  const left = h("td", { role: "cell", class: "num left" });
  const created = h("time", { datetime: study.created, title: clock(study.created) });
  const node = h(
    "tr",
    { role: "row" },
    h("td", { role: "cell", class: "state" }, state.node),
    h("td", { role: "rowheader", class: "name" }, link, about),
    h("td", { role: "cell", class: "network" }, network, data),
    h("td", { role: "cell", class: "progress" }, progress.node, phase),
    left,
    h("td", { role: "cell", class: "created" }, created),
  );
  return {
    node,
    show(now) {
      state.show(now);
      say(link, now.name || now.id.slice(0, 12));
      say(about, now.priority ? `priority ${now.priority}` : "");
      say(network, now.model ?? "");
      say(data, [now.data, now.searcher].filter(Boolean).join(" · "));
      const done = now.state === "SUCCEEDED" ? 1 : now.progress?.done ?? 0;
      progress.show(done, hasEnded(now));
      say(phase, now.state === "RUNNING" ? `${percent(done)} ${phaseWord(now.progress?.phase)}` : percent(done));
      say(left, now.state === "RUNNING" ? duration(now.progress?.seconds_left) : "");
      say(created, ago(now.created));
    },
  };
}
