// How far a study is, how long it will take, and the trials that run.

import * as api from "./api.js";
import { readText } from "./dialog.js";
import { h, hidden, put, say } from "./dom.js";
import { cost, duration, percent, plural } from "./format.js";
import { meter } from "./meter.js";
import { panel } from "./panel.js";
import { hasEnded, phaseWord } from "./words.js";

export function progressPanel(id) {
  const bar = meter("Progress of the study");
  const share = h("strong", { class: "share" });
  const phase = h("span", {});
  const left = h("span", { class: "soft" });
  const running = h("ul", { class: "running", "aria-label": "Running trials" });
  const node = panel("progress", "Progress", h("div", { class: "progress-line" }, share, phase, left), bar.node, running);
  const known = new Map();

  function showRunning(trials) {
    const ids = new Set(trials.map((trial) => trial.id));
    for (const [trial, row] of known) {
      if (ids.has(trial)) continue;
      row.node.remove();
      known.delete(trial);
    }
    for (const trial of trials) {
      if (!known.has(trial.id)) {
        known.set(trial.id, runningRow(id, trial));
        running.append(known.get(trial.id).node);
      }
      known.get(trial.id).show(trial);
    }
    running.hidden = trials.length === 0;
  }

  return {
    node,
    show({ study }) {
      const { progress, state } = study;
      const done = state === "SUCCEEDED" ? 1 : progress?.done ?? 0;
      const ended = hasEnded(study);
      node.hidden = state === "SUCCEEDED" || (ended && !progress);
      bar.show(done, ended);
      say(share, percent(done));
      say(phase, state === "QUEUED" ? "Waits for a worker" : progress ? `${ended ? "Stopped in: " : ""}${phaseWord(progress.phase)}` : "Starting");
      const parts = [];
      if (progress) parts.push(plural(progress.trials ?? 0, "trial") + " done");
      if (state === "RUNNING" && typeof progress?.seconds_left === "number") parts.push(`${duration(progress.seconds_left)} left`);
      say(left, parts.join(" · "));
      showRunning(state === "RUNNING" ? progress?.running ?? [] : []);
    },
  };
}

function runningRow(id, trial) {
  const name = h("button", { type: "button", class: "link mono", click: () => readText(`Trial ${trial.id}`, (signal) => api.trialLog(id, trial.id, signal)) }, trial.id.slice(0, 8), hidden(", show its log"));
  const what = h("span", { class: "soft" });
  const epochs = h("span", { class: "num" });
  const loss = h("span", { class: "num" });
  const bar = meter(`Epochs of trial ${trial.id.slice(0, 8)}`);
  const node = h("li", {});
  put(node, name, what, h("span", { class: "running-bar" }, bar.node), epochs, loss);
  return {
    node,
    show(now) {
      say(what, [phaseWord(now.phase), now.worker && `on ${now.worker}`].filter(Boolean).join(" · "));
      const known = typeof now.epoch === "number" && now.epochs;
      say(epochs, known ? `epoch ${now.epoch}/${now.epochs}` : "");
      bar.show(known ? now.epoch / now.epochs : 0, false);
      say(loss, typeof now.loss === "number" ? `loss ${cost(now.loss)}` : "");
    },
  };
}
