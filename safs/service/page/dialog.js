// Modal dialogs: a question, and something to read. Focus returns to where it was.

import { freshId, h } from "./dom.js";

function open(dialog) {
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before?.isConnected && !before.disabled) before.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask; resolves to whether the answer was yes. */
export function confirm({ title, text, yes, no = "Keep it", grave = false }) {
  return new Promise((resolve) => {
    const id = freshId("dialog");
    const dialog = h(
      "dialog",
      { "aria-labelledby": id, class: "ask" },
      h(
        "form",
        { method: "dialog" },
        h("h2", { id }, title),
        h("p", {}, text),
        h(
          "div",
          { class: "buttons end" },
          h("button", { value: "no", autofocus: true }, no),
          h("button", { value: "yes", class: grave ? "grave" : "main" }, yes),
        ),
      ),
    );
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"));
    open(dialog);
  });
}

/** Show a text that `load` fetches. */
export async function readText(title, load) {
  const id = freshId("dialog");
  const text = h("pre", { class: "text", tabindex: 0, role: "region", "aria-labelledby": id }, "Loading…");
  const leaving = new AbortController();
  const dialog = open(
    h(
      "dialog",
      { "aria-labelledby": id, class: "reader" },
      h(
        "form",
        { method: "dialog", class: "reader-head" },
        h("h2", { id }, title),
        h("button", { value: "close" }, "Close"),
      ),
      text,
    ),
  );
  dialog.addEventListener("close", () => leaving.abort());
  try {
    const loaded = await load(leaving.signal);
    text.textContent = loaded || "(empty)";
  } catch (error) {
    text.textContent = error.message;
  }
}
