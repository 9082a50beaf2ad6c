// Cancel, resume, delete, the config and the report: each enabled exactly where the API allows it.

import * as api from "./api.js";
import { announce } from "./announce.js";
import { confirm, readText } from "./dialog.js";
import { h, say } from "./dom.js";
import { mayCancel, mayDelete, mayResume } from "./words.js";
import { maySubmit } from "./who.js";

export function actions(id, { changed, gone }) {
  let study = null;
  let busy = false;
  const trouble = h("p", { class: "error", role: "alert", hidden: true });
  const cancel = h("button", { type: "button", click: () => act(askCancel) }, "Cancel");
  const resume = h("button", { type: "button", click: () => act(doResume) }, "Resume");
  const remove = h("button", { type: "button", class: "grave", click: () => act(askRemove) }, "Delete");
  const config = h("button", { type: "button", click: () => readText("Config", (signal) => api.config(id, signal)) }, "Config");
  const report = h("a", { class: "button", href: `#/studies/${encodeURIComponent(id)}/report` }, "Open report");
  const node = h("div", { class: "actions" }, h("div", { class: "buttons", role: "group", "aria-label": "Actions" }, report, config, cancel, resume, remove), trouble);

  async function askCancel() {
    const text = study.state === "RUNNING" ? "The running trials are stopped. Finished trials are kept, and the study can be resumed." : "It leaves the queue and can be resumed later.";
    if (await confirm({ title: "Cancel this study?", text, yes: "Cancel the study", no: "Keep it running" })) changed(await api.cancel(id));
  }

  async function doResume() {
    changed(await api.resume(id));
  }

  async function askRemove() {
    const text = "Its trials, log and artifacts are removed for good.";
    if (!(await confirm({ title: `Delete ${study.name ? `“${study.name}”` : "this study"}?`, text, yes: "Delete for good", grave: true }))) return;
    await api.remove(id);
    announce("The study was deleted.");
    gone();
  }

  async function act(work) {
    if (busy) return;
    busy = true;
    trouble.hidden = true;
    try {
      await work();
    } catch (error) {
      trouble.hidden = false;
      say(trouble, error.message);
    } finally {
      busy = false;
      update();
    }
  }

  function allow(button, may) {
    const lost = !may && document.activeElement === button;
    button.disabled = !may;
    // A disabled button loses the focus to nowhere; give it to what comes before it.
    if (lost) document.querySelector("main h1")?.focus({ preventScroll: true });
  }

  function update() {
    if (!study) return;
    const may = maySubmit();
    allow(cancel, may && mayCancel(study));
    allow(resume, may && mayResume(study));
    allow(remove, may && mayDelete(study));
    report.hidden = !(study.state === "SUCCEEDED");
    for (const button of [cancel, resume, remove]) button.title = may ? "" : "This token may only read.";
  }

  return {
    node,
    show(next) {
      study = next;
      update();
    },
  };
}
