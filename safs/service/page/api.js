// The HTTP API. A refused token is asked for again and the call goes on, so no caller knows of it.

import { readProblem, unreachable } from "./problem.js";
import * as token from "./token.js";

const ROOT = new URL("v1/", document.baseURI);

export const address = (path) => new URL(path, ROOT);

/** The answer to a call, which is a success; else throws a Problem, or what the signal was aborted with. */
export async function call(path, { method = "GET", headers = {}, signal } = {}) {
  for (;;) {
    const bearer = await token.get(signal);
    const answer = await send(path, { method, headers: { ...headers, Authorization: `Bearer ${bearer}` }, signal });
    if (answer.ok) return answer;
    const problem = readProblem(answer.status, await answer.text().catch(() => ""));
    if (answer.status !== 401) throw problem;
    token.refuse(bearer, problem.message);
  }
}

async function send(path, options) {
  try {
    return await fetch(address(path), { ...options, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw unreachable();
  }
}

const json = async (path, options) => (await call(path, options)).json();
const one = (id) => `studies/${encodeURIComponent(id)}`;

export const me = (signal) => json("me", { signal });
export const study = (id, signal) => json(one(id), { signal });
export const picture = (id, signal) => json(`${one(id)}/picture`, { signal });
export const artifacts = (id, signal) => json(`${one(id)}/artifacts`, { signal });
export const cancel = (id) => json(`${one(id)}/cancel`, { method: "POST" });
export const resume = (id) => json(`${one(id)}/resume`, { method: "POST" });
export const remove = (id) => call(one(id), { method: "DELETE" });
export const artifactPath = (id, path) => `${one(id)}/artifacts/${path.split("/").map(encodeURIComponent).join("/")}`;
export const trialLog = async (id, trial, signal) =>
  (await call(`${one(id)}/trials/${encodeURIComponent(trial)}/log`, { signal })).text();
export const config = async (id, signal) => (await call(`${one(id)}/config`, { signal })).text();

/** A page of studies. */
export function studies({ states, name, after, limit }, signal) {
  const query = new URLSearchParams();
  states.forEach((state) => query.append("state", state));
  if (name) query.set("name", name);
  if (after) query.set("after", after);
  query.set("limit", limit);
  return json(`studies?${query}`, { signal });
}

/** The bytes of the log from an offset, where the next begin, and whether that is all there will be. */
export async function log(id, offset, signal) {
  const answer = await call(`${one(id)}/log?offset=${offset}`, { signal });
  const data = new Uint8Array(await answer.arrayBuffer());
  const told = Number.parseInt(answer.headers.get("X-Next-Offset") ?? "", 10);
  return {
    data,
    next: Number.isFinite(told) ? told : offset + data.length,
    complete: answer.headers.get("X-Complete") === "true",
  };
}

/** The stream of a study's events, after the event `last` if given. */
export function events(id, last, signal) {
  const headers = { Accept: "text/event-stream" };
  if (last !== null) headers["Last-Event-ID"] = last;
  return call(`${one(id)}/events`, { headers, signal });
}
