// The bearer token: from the fragment or the form, kept for this tab only, never in an address or a log.

const KEY = "safs.token";
const events = new EventTarget();
let current = stored();
let waiting = [];

function stored() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function keep(value) {
  try {
    if (value === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, value);
  } catch {
    // Without storage it lives as long as the page.
  }
}

/** Why `value` cannot be a token, or null. */
export function flaw(value) {
  if (!value) return "Enter a token.";
  return /^[\x21-\x7e]{1,512}$/.test(value) ? null : "A token has no spaces and no special characters.";
}

export function set(value) {
  current = value;
  keep(value);
  const ready = waiting;
  waiting = [];
  ready.forEach((resolve) => resolve(value));
  events.dispatchEvent(new Event("set"));
}

/** The token; waits until there is one. */
export function get(signal) {
  if (current !== null) return Promise.resolve(current);
  events.dispatchEvent(new CustomEvent("asked", { detail: null }));
  return new Promise((resolve, reject) => {
    waiting.push(resolve);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

export const known = () => current !== null;

/** The server has refused `value`: forget it, unless another has taken its place meanwhile. */
export function refuse(value, sentence) {
  if (current !== value) return;
  current = null;
  keep(null);
  events.dispatchEvent(new CustomEvent("asked", { detail: sentence }));
}

/** Take the token out of the address bar; true if there was one. */
export function takeFromAddress() {
  const found = /^#token=([^&]+)/.exec(location.hash);
  if (!found) return false;
  history.replaceState(null, "", `${location.pathname}${location.search}#/studies`);
  let value = found[1];
  try {
    value = decodeURIComponent(value);
  } catch {
    // Taken as it stands.
  }
  if (!flaw(value)) set(value);
  return true;
}

export function signOut() {
  current = null;
  keep(null);
  location.hash = "#/studies";
  location.reload();
}

export const onAsked = (listener) => events.addEventListener("asked", (event) => listener(event.detail));
export const onSet = (listener) => events.addEventListener("set", listener);
