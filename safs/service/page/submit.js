// The form that submits a study.

import { announce } from "./announce.js";
import { h, put, say } from "./dom.js";
import { field } from "./field.js";
import { bytes, percent } from "./format.js";
import { meter } from "./meter.js";
import { title } from "./title.js";
import { freshKey, upload } from "./upload.js";
import { limits, maySubmit, onWho } from "./who.js";

const LONGEST_CONFIG = 65_536;
const EXAMPLE = `# LeNet-5 on scikit-learn's handwritten digits, pruned to 98 %
model:
  name: lenet5
  pretrain: {epochs: 20, batch_size: 64, optimizer: adam, lr: 0.002, schedule: cosine}
data: digits
prune: {ratio: 0.98, method: magnitude, scope: layer}
train: {epochs: 15, batch_size: 64, optimizer: adam, lr: 0.01, schedule: cosine}
stage1: {iterations: 20, epochs: 5}
stage2: {trials: 6, folds: 3}
report: {seeds: 3}
`;

export function submitView(main, { signal }) {
  title("Submit a study");
  const fields = makeFields();
  const { config, checkpoint, mask, name, priority } = fields;
  const trouble = h("p", { class: "notice bad", role: "alert", tabindex: -1, hidden: true });
  const refused = h("p", { class: "notice", hidden: true }, "This token may only read. Sign out and use one with the scope “submit”.");
  const send = h("button", { class: "main" }, "Submit");
  const stop = h("button", { type: "button", hidden: true, click: () => sending?.abort() }, "Stop");
  const bar = meter("Upload");
  const told = h("span", { class: "soft small" });
  const progress = h("div", { class: "upload", hidden: true }, bar.node, told);
  const form = h(
    "form",
    { class: "submit", novalidate: true, "aria-labelledby": "submit-title", submit },
    config.node,
    h("div", { class: "pair" }, checkpoint.node, mask.node),
    h("div", { class: "pair" }, name.node, priority.node),
    progress,
    h("div", { class: "buttons" }, send, stop),
  );
  put(main, h("div", { class: "head" }, h("h1", { tabindex: -1, id: "submit-title" }, "Submit a study")), refused, trouble, form);

  // The key stays while the form does, so sending again after a lost answer makes no second study.
  let key = freshKey();
  let sending = null;
  form.addEventListener("input", () => { key = freshKey(); });
  const scope = () => {
    refused.hidden = maySubmit();
    send.disabled = !maySubmit();
  };
  scope();
  onWho(scope, signal);
  signal.addEventListener("abort", () => sending?.abort());

  async function submit(event) {
    event.preventDefault();
    if (sending) return;
    complain(null);
    const flaw = check();
    if (flaw) {
      complain(...flaw);
      return;
    }
    sending = new AbortController();
    busy(true);
    try {
      const study = await upload(body(), key, (sent, total) => {
        bar.show(sent / total);
        say(told, sent < total ? `${bytes(sent)} of ${bytes(total)}, ${percent(sent / total)}` : "Sent; the server checks it…");
      }, sending.signal);
      announce("The study was submitted.");
      if (!signal.aborted) location.hash = `#/studies/${encodeURIComponent(study.id)}`;
    } catch (error) {
      if (signal.aborted) return;
      if (error.name === "AbortError") {
        announce("The upload was stopped.");
      } else {
        // Refused: the next attempt is another one. Without an answer it is the same.
        if (error.status >= 400 && error.status < 500) key = freshKey();
        complain(error.message, error.field ?? null);
      }
    } finally {
      sending = null;
      busy(false);
    }
  }

  function check() {
    if (!config.input.value.trim()) return ["A study needs a config: choose a file or paste it.", "config"];
    const most = limits().upload_bytes;
    for (const each of ["checkpoint", "mask"]) {
      const file = fields[each].input.files[0];
      if (file && most && file.size > most) return [`${file.name} has ${bytes(file.size)}; this token may upload ${bytes(most)}.`, each];
    }
    const rank = priority.input.value.trim();
    if (rank && !/^-?\d{1,3}$/.test(rank) || Math.abs(Number(rank)) > 100) return ["The priority is a whole number from -100 to 100.", "priority"];
    return null;
  }

  function body() {
    const data = new FormData();
    data.set("config", config.input.value);
    for (const each of ["checkpoint", "mask"]) {
      const file = fields[each].input.files[0];
      if (file) data.set(each, file);
    }
    if (name.input.value.trim()) data.set("name", name.input.value.trim());
    if (priority.input.value.trim()) data.set("priority", String(Number(priority.input.value)));
    return data;
  }

  /** Show the sentence at its field; a field that the form has not is a key of the config. */
  function complain(sentence, at = null) {
    for (const each of Object.values(fields)) each.complain(null);
    trouble.hidden = true;
    if (!sentence) return;
    const own = at === null ? null : fields[at] ?? config;
    if (own) {
      own.complain(at in fields || sentence.includes(at) ? sentence : `${at}: ${sentence}`);
      own.input.focus();
      announce(sentence);
    } else {
      trouble.hidden = false;
      say(trouble, sentence);
      trouble.focus();
    }
  }

  function busy(is) {
    send.disabled = is || !maySubmit();
    stop.hidden = !is;
    progress.hidden = !is;
    bar.show(0);
    say(told, is ? "Sending…" : "");
    form.setAttribute("aria-busy", String(is));
  }
}

function makeFields() {
  const text = h("textarea", { rows: 14, spellcheck: "false", autocapitalize: "none", class: "mono", required: true, placeholder: "model: lenet5\ndata: digits\n…" });
  const file = h("input", { type: "file", accept: ".yaml,.yml,.txt,text/yaml", "aria-label": "Read the config from a file", change: read });
  const example = h("button", { type: "button", class: "small-button", click: () => fill(EXAMPLE) }, "Use an example");
  const config = field("config", "Config (YAML)", text, "Paste it, or read it from a file.", h("div", { class: "beside" }, file, example));

  function fill(value) {
    text.value = value;
    text.dispatchEvent(new Event("input", { bubbles: true }));
  }

  async function read() {
    const [chosen] = file.files;
    if (!chosen) return;
    if (chosen.size > LONGEST_CONFIG) {
      config.complain(`${chosen.name} has ${bytes(chosen.size)}, which is no config.`);
      return;
    }
    config.complain(null);
    fill(await chosen.text());
  }

  return {
    config,
    checkpoint: field("checkpoint", "Checkpoint", h("input", { type: "file", accept: ".pt,.pth,.safetensors" }), "A pruned network's weights (.pt or .safetensors). Without one the network is trained and pruned as the config says."),
    mask: field("mask", "Mask", h("input", { type: "file", accept: ".pt,.pth,.safetensors" }), "Optional; else the zeros of the checkpoint are the mask."),
    name: field("name", "Name", h("input", { type: "text", maxlength: 100, autocomplete: "off" }), "Optional, to find it again."),
    priority: field("priority", "Priority", h("input", { type: "text", inputmode: "numeric", value: "0", size: 5 }), "From -100 to 100; higher ones run first."),
  };
}
