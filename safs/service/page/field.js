// A field of a form: label, hint, and the error that belongs to it.

import { h, say } from "./dom.js";

export function field(id, label, input, hint, ...more) {
  const error = h("p", { class: "error", id: `${id}-error`, hidden: true });
  const about = hint ? h("p", { class: "hint", id: `${id}-hint` }, hint) : null;
  input.id = id;
  const node = h("div", { class: `field field-${id}` }, h("label", { for: id }, label), about, error, input, more);
  function complain(sentence) {
    error.hidden = !sentence;
    say(error, sentence ?? "");
    if (sentence) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    const ids = [sentence && error.id, about?.id].filter(Boolean).join(" ");
    if (ids) input.setAttribute("aria-describedby", ids);
    else input.removeAttribute("aria-describedby");
  }
  complain(null);
  return { node, input, complain };
}
