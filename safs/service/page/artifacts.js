// The files of a study. Those of its trials, which may be thousands, are folded away and not built before they are asked
// for. While the study goes on, its files change, and the server gives none.

import * as api from "./api.js";
import { fileTable } from "./file_table.js";
import { h, say } from "./dom.js";
import { plural } from "./format.js";
import { panel } from "./panel.js";
import { joined } from "./timing.js";
import { hasEnded } from "./words.js";

const isOfTrial = (file) => file.path.startsWith("trials/");

export function artifactsPanel(id, signal) {
  const trouble = h("p", { class: "error", role: "alert", hidden: true });
  const none = h("p", { class: "soft" }, "No files yet.");
  const wait = h("p", { class: "soft small wait" }, "Files can be downloaded when the study has ended.");
  const table = fileTable(id, "Artifacts", complain);
  const ofTrials = fileTable(id, "Files of the trials", complain);
  const count = h("summary", {});
  const fold = h("details", { toggle: draw }, count, ofTrials.node);
  const node = panel("artifacts", "Artifacts", none, wait, trouble, table.node, fold);
  let files = [];
  let ended = false;

  function draw() {
    const trials = files.filter(isOfTrial);
    none.hidden = files.length > 0;
    wait.hidden = ended || files.length === 0;
    fold.hidden = trials.length === 0;
    say(count, `Files of the trials: ${plural(trials.length, "file")}`);
    table.show(files.filter((file) => !isOfTrial(file)), ended);
    ofTrials.show(fold.open ? trials : [], ended);
  }

  function complain(sentence) {
    trouble.hidden = !sentence;
    say(trouble, sentence ?? "");
  }

  const read = joined(async () => {
    try {
      const { artifacts } = await api.artifacts(id, signal);
      if (signal.aborted) return;
      files = artifacts;
      draw();
    } catch (error) {
      if (!signal.aborted) complain(error.message);
    }
  }, 4_000, signal);

  draw();
  return {
    node,
    read,
    show({ study }) {
      if (hasEnded(study) === ended) return;
      ended = hasEnded(study);
      draw();
    },
  };
}
