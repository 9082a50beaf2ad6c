// One study, live: the panels, what they show, and when it is read anew.

import * as api from "./api.js";
import { announce } from "./announce.js";
import { artifactsPanel } from "./artifacts.js";
import { baselinesPanel } from "./baselines.js";
import { curvePanel } from "./curve.js";
import { h, put, say } from "./dom.js";
import { percent } from "./format.js";
import { follow } from "./live.js";
import { logPanel } from "./log.js";
import { operatorsPanel } from "./operators.js";
import { progressPanel } from "./progress.js";
import { headPanel } from "./study_head.js";
import { joined } from "./timing.js";
import { title } from "./title.js";
import { tuningPanel } from "./tuning.js";
import { hasEnded, stateSentence } from "./words.js";

const NO_PICTURE = { sites: [], operators: [], stage1: [], stage2: [], chosen: null, rows: null };

export function studyView(main, { argument: id, signal, arrived }) {
  title("Study");
  const now = { study: null, picture: NO_PICTURE };
  const trouble = h("p", { class: "notice bad", role: "status", hidden: true });
  const panels = h("div", { class: "panels" }, h("p", { class: "soft loading" }, "Loading…"));
  put(main, h("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, h("a", { href: "#/studies" }, "Studies")), trouble, panels);

  const head = headPanel({ id, changed: took, gone: () => { location.hash = "#/studies"; } });
  const log = logPanel(id, signal);
  const files = artifactsPanel(id, signal);
  const shown = [head, progressPanel(id), baselinesPanel(), curvePanel(id, signal), operatorsPanel(), tuningPanel(signal), files, log];
  let again = () => {};
  let gone = false;

  function draw() {
    if (!now.study) return;
    const begins = !panels.contains(head.node);
    if (begins) put(panels, shown.map((panel) => panel.node));
    for (const panel of shown) panel.show(now);
    if (begins && arrived && document.activeElement === document.body) head.focus();
    const { name, progress, state } = now.study;
    title(`${state === "RUNNING" && progress ? `${percent(progress.done)} ` : ""}${name || id.slice(0, 12)}: ${stateSentence(now.study)}`);
  }

  /** A newer study is known, from an answer or an action. */
  function took(study) {
    const before = now.study;
    now.study = study;
    draw();
    if (!before || stateSentence(before) === stateSentence(study)) return;
    announce(`${study.name || "The study"}: ${stateSentence(study)}. ${study.message ?? ""}`);
    readPicture();
    log.read();
    files.read();
    if (hasEnded(before) && !hasEnded(study)) again();
  }

  async function attempt(work) {
    try {
      await work();
      if (!signal.aborted) trouble.hidden = true;
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 404 || error.status === 403) gone = true;
      trouble.hidden = false;
      say(trouble, error.message);
      if (gone && !now.study) put(panels, h("h1", { tabindex: -1 }, "No such study"), h("p", {}, h("a", { href: "#/studies" }, "All studies")));
    }
  }

  const look = () => attempt(async () => took(await api.study(id, signal)));
  const readStudy = joined(look, 500, signal);
  const readPicture = joined(() => attempt(async () => {
    now.picture = { ...NO_PICTURE, ...(await api.picture(id, signal)) };
    draw();
  }), 2_000, signal);

  async function poll() {
    await look();
    if (gone || signal.aborted) return;
    readPicture();
    log.read();
  }

  function handle(type, data) {
    if (type === "state") {
      readStudy();
    } else if (type === "trial") {
      readPicture();
      files.read();
    } else if (type === "progress" && data && now.study) {
      now.study = { ...now.study, progress: data };
      draw();
    } else if (type === "log") {
      log.read();
    }
  }

  (async () => {
    await poll();
    if (signal.aborted || gone) return;
    files.read();
    const ended = () => gone || hasEnded(now.study ?? {});
    const final = () => gone || now.study?.state === "SUCCEEDED";
    again = follow(id, { handle, poll, look, ended, final, badge: head.badge }, signal);
  })();
}
