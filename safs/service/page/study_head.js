// The head of a study: its name, state and message, what it is, and what can be done with it.

import { actions } from "./actions.js";
import { badge } from "./badge.js";
import { freshId, h, put, say } from "./dom.js";
import { ago, bytes, clock, duration } from "./format.js";
import { hasEnded } from "./words.js";

const MODES = {
  connecting: ["Connecting", "The stream of events is being opened."],
  live: ["Live", "Changes show at once."],
  polling: ["Polling", "The stream of events is lost; the page asks every few seconds and keeps trying."],
  paused: ["Paused", "The page was hidden for a while."],
  ended: ["Ended", "The study has ended; nothing changes unless it is resumed."],
};

export function headPanel({ id, changed, gone }) {
  const name = h("h1", { tabindex: -1 });
  const state = badge();
  const mode = h("span", { class: "mode mode-connecting" }, MODES.connecting[0]);
  const message = h("p", { class: "message" });
  const facts = h("dl", { class: "facts" });
  const heading = freshId("study");
  name.id = heading;
  const buttons = actions(id, { changed, gone });
  const node = h(
    "section",
    { class: "study-head", "aria-labelledby": heading },
    h("div", { class: "head" }, h("div", { class: "title" }, name, h("div", { class: "badges" }, state.node, mode)), buttons.node),
    message,
    facts,
  );
  let told = "";
  return {
    node,
    focus: () => name.focus({ preventScroll: true }),
    badge(next) {
      const [word, why] = MODES[next];
      mode.className = `mode mode-${next}`;
      mode.title = why;
      say(mode, word);
    },
    show({ study }) {
      say(name, study.name || study.id);
      state.show(study);
      message.hidden = !study.message;
      message.classList.toggle("bad", study.state === "FAILED");
      say(message, study.message ?? "");
      buttons.show(study);
      const list = factsOf(study);
      const text = JSON.stringify(list);
      if (text === told) return;
      told = text;
      put(facts, list.map(([term, value, more]) => h("div", {}, h("dt", {}, term), h("dd", { title: more }, value))));
    },
  };
}

function factsOf(study) {
  const { checkpoint } = study;
  const facts = [
    ["Network", study.model],
    ["Data", study.data],
    ["Searcher", study.searcher],
    ["Checkpoint", checkpoint ? `${String(checkpoint.sha256 ?? "").slice(0, 12)} · ${bytes(checkpoint.bytes)}` : "none, trained dense first", checkpoint?.sha256],
    ["Created", ago(study.created), clock(study.created)],
    ["Started", study.started && ago(study.started), clock(study.started)],
    ["Took", hasEnded(study) && study.started && study.ended && duration((Date.parse(study.ended) - Date.parse(study.started)) / 1000), clock(study.ended)],
    ["Attempts", study.attempts > 1 && String(study.attempts)],
    ["Priority", study.priority ? String(study.priority) : null],
    ["Owner", study.owner],
    ["ID", study.id],
  ];
  return facts.filter(([, value]) => value);
}
