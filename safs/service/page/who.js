// Who is signed in, and what that token may do.

import * as api from "./api.js";
import { h, put } from "./dom.js";
import * as token from "./token.js";

let known = null;
const events = new EventTarget();

/** Whether the token may change studies; true until known, for the server decides anyway. */
export const maySubmit = () => known === null || known.scope !== "read";
export const limits = () => known?.limits ?? {};

export function install(node) {
  token.onSet(() => refresh(node));
  refresh(node);
}

/** Call `listener` when another token has come. */
export const onWho = (listener, signal) => events.addEventListener("who", listener, { signal });

async function refresh(node) {
  try {
    known = await api.me();
  } catch {
    return;
  }
  put(
    node,
    h("span", { class: "who-name", title: `Scope: ${known.scope}` }, known.name, " ", h("span", { class: "soft" }, known.scope)),
    h("button", { type: "button", class: "quiet", click: token.signOut }, "Sign out"),
  );
  events.dispatchEvent(new Event("who"));
}
