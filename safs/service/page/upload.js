// A submission: XMLHttpRequest, because fetch does not tell how much has been sent.

import { address } from "./api.js";
import { readProblem, unreachable } from "./problem.js";
import * as token from "./token.js";

/** A key that no other attempt has; not randomUUID, which plain HTTP in a private network lacks. */
export function freshKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Send `form`; resolves to the study. `told(sent, total)` hears of progress. */
export async function upload(form, key, told, signal) {
  for (;;) {
    const bearer = await token.get(signal);
    const { status, text } = await send(form, { Authorization: `Bearer ${bearer}`, "Idempotency-Key": key }, told, signal);
    if (status === 200 || status === 201) return JSON.parse(text);
    const problem = readProblem(status, text);
    if (status !== 401) throw problem;
    token.refuse(bearer, problem.message);
  }
}

function send(form, headers, told, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    const done = (settle) => () => {
      signal.removeEventListener("abort", stop);
      settle();
    };
    request.open("POST", address("studies"));
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => event.lengthComputable && told(event.loaded, event.total));
    request.addEventListener("load", done(() => resolve({ status: request.status, text: request.responseText })));
    request.addEventListener("error", done(() => reject(unreachable())));
    request.addEventListener("abort", done(() => reject(new DOMException("The upload was stopped.", "AbortError"))));
    signal.addEventListener("abort", stop);
    request.send(form);
  });
}
