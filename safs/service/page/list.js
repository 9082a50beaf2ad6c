// All studies: filters, one page of rows, and older ones. The filters are in the address, so "back" works.

import * as api from "./api.js";
import { announce } from "./announce.js";
import { h, put, say } from "./dom.js";
import { plural } from "./format.js";
import { rows } from "./list_rows.js";
import { repeat } from "./timing.js";
import { title } from "./title.js";
import { ALL_STATES, stateWord } from "./words.js";

const LIMIT = 50;
const EVERY = 4_000;

export function listView(main, { query, signal }) {
  title("Studies");
  const wanted = {
    states: query.getAll("state").filter((state) => ALL_STATES.includes(state)),
    name: query.get("name") ?? "",
    after: query.get("after"),
    limit: LIMIT,
  };
  const table = rows();
  table.node.hidden = true; // until there is something to show
  const loading = h("p", { class: "soft" }, "Loading…");
  const trouble = h("p", { class: "notice bad", role: "status", hidden: true });
  const empty = h("div", { class: "empty", hidden: true });
  const count = h("span", { class: "soft" });
  const newest = h("a", { class: "button", hidden: true }, "Newest");
  const older = h("a", { class: "button", hidden: true }, "Older");
  put(
    main,
    h("div", { class: "head" }, h("h1", { tabindex: -1 }, "Studies"), h("a", { class: "button main", href: "#/submit" }, "Submit a study")),
    filters(wanted, changed),
    trouble,
    loading,
    table.node,
    empty,
    h("nav", { class: "pages", "aria-label": "Pages of studies" }, count, newest, older),
  );

  let asked = 0;
  async function refresh() {
    asked += 1;
    const mine = asked;
    try {
      const page = await api.studies(wanted, signal);
      if (mine !== asked || signal.aborted) return;
      trouble.hidden = true;
      show(page);
    } catch (error) {
      if (signal.aborted || mine !== asked) return;
      trouble.hidden = false;
      say(trouble, error.message);
    }
  }

  function show({ studies, next }) {
    loading.hidden = true;
    table.show(studies);
    table.node.hidden = studies.length === 0;
    empty.hidden = studies.length !== 0;
    if (studies.length === 0 && !empty.hasChildNodes()) put(empty, wanted.name || wanted.states.length || wanted.after ? nothingFound() : howTo());
    say(count, studies.length ? `${plural(studies.length, "study", "studies")} on this page` : "");
    newest.hidden = !wanted.after;
    newest.href = to({ ...wanted, after: null });
    older.hidden = !next;
    older.href = to({ ...wanted, after: next });
  }

  async function changed() {
    if (signal.aborted) return; // the reader has left while a name was typed
    wanted.after = null;
    // Replaced, not pushed: typing a name is no journey.
    history.replaceState(null, "", to(wanted));
    put(empty);
    await refresh();
    if (!signal.aborted) announce(count.textContent || "No study matches.");
  }

  refresh();
  repeat(EVERY, refresh, signal);
}

function to({ states, name, after }) {
  const query = new URLSearchParams();
  states.forEach((state) => query.append("state", state));
  if (name) query.set("name", name);
  if (after) query.set("after", after);
  const text = query.toString();
  return text ? `#/studies?${text}` : "#/studies";
}

function filters(wanted, changed) {
  const toggles = ALL_STATES.map((state) =>
    h("label", { class: "chip" }, h("input", {
      type: "checkbox", checked: wanted.states.includes(state),
      change(event) {
        wanted.states = ALL_STATES.filter((each) => (each === state ? event.target.checked : wanted.states.includes(each)));
        changed();
      },
    }), h("span", {}, stateWord(state))),
  );
  let timer = 0;
  const name = h("input", {
    type: "search", id: "filter-name", value: wanted.name, maxlength: 100, placeholder: "Name contains…", autocomplete: "off",
    input(event) {
      clearTimeout(timer);
      timer = setTimeout(() => {
        wanted.name = event.target.value.trim();
        changed();
      }, 250);
    },
  });
  return h(
    "search",
    { class: "filters", role: "search", "aria-label": "Filter studies" },
    h("div", { class: "name-filter" }, h("label", { class: "hidden", for: "filter-name" }, "Name contains"), name),
    h("fieldset", { class: "chips" }, h("legend", { class: "hidden" }, "States"), toggles),
  );
}

const nothingFound = () => h("p", {}, "No study matches. ", h("a", { href: "#/studies" }, "Show all"));

function howTo() {
  return [
    h("h2", {}, "No studies yet"),
    h("p", {}, "A study searches the activation functions of one pruned network. Submit one from the ", h("a", { href: "#/submit" }, "form"), " or from a shell:"),
    h("pre", { class: "text", tabindex: 0, role: "region", "aria-label": "Command" }, "safs submit --config configs/lenet5-mnist.yaml --checkpoint pruned.pt --name first"),
  ];
}
