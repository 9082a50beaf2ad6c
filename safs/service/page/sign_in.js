// The form that asks for a token, over whatever view is open, so that nothing typed there is lost.

import { h, put, say } from "./dom.js";
import * as token from "./token.js";

let dialog = null;

export function install() {
  token.onAsked((sentence) => {
    show();
    if (sentence) complain(sentence);
  });
  token.onSet(() => dialog?.close());
}

function complain(sentence) {
  const field = dialog.querySelector("input");
  const error = dialog.querySelector(".error");
  error.hidden = !sentence;
  say(error, sentence ?? "");
  if (sentence) {
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", "token-error token-hint");
  } else {
    field.removeAttribute("aria-invalid");
    field.setAttribute("aria-describedby", "token-hint");
  }
}

function show() {
  if (dialog) return;
  const field = h("input", {
    id: "token", type: "password", autocomplete: "off", spellcheck: "false", autocapitalize: "none", required: true, autofocus: true,
    "aria-describedby": "token-hint",
  });
  const form = h(
    "form",
    { novalidate: true, submit },
    h("h2", { id: "sign-in" }, "Sign in"),
    h("div", { class: "field" }, h("label", { for: "token" }, "Token"), h("p", { class: "error", id: "token-error", role: "alert", hidden: true }), field),
    h(
      "p",
      { class: "hint", id: "token-hint" },
      "The server printed one when it was first started; ",
      h("code", {}, "safs token create"),
      " makes another. It is kept in this tab until you close it.",
    ),
    h("div", { class: "buttons end" }, h("button", { class: "main" }, "Sign in")),
  );
  dialog = h("dialog", { class: "ask", "aria-labelledby": "sign-in" });
  put(dialog, form);
  const before = document.activeElement;
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.addEventListener("close", () => {
    const closed = dialog;
    dialog = null;
    closed.remove();
    // A browser may close it against our will, at a second Escape.
    if (!token.known()) show();
    else if (before?.isConnected) before.focus();
  });
  document.body.append(dialog);
  dialog.showModal();

  function submit(event) {
    event.preventDefault();
    const value = field.value.trim();
    const flaw = token.flaw(value);
    complain(flaw);
    if (flaw) field.focus();
    else token.set(value);
  }
}
