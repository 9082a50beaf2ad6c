// Follow a study: its stream of events, again after a loss, by polling while there is none, until it has ended.

import * as api from "./api.js";
import { readEvents } from "./sse.js";
import { sleep } from "./timing.js";

const SILENCE = 45_000; // The server sends a heartbeat every 15 s.
const POLL = 5_000;
const LONGEST_WAIT = 30_000;
const HIDDEN = 60_000; // A tab that nobody sees gives its connection back after this.

/**
 * `handle(type, data)` takes each event, `poll()` reads everything anew, `look()` only the study, `ended()` tells whether nothing more comes now
 * and `final()` whether nothing ever will, and `badge(mode)` shows how it stands: connecting, live, polling, paused or
 * ended. Returns a function that starts again after an end (a study was resumed).
 */
export function follow(id, { handle, poll, look, ended, final, badge }, signal) {
  let last = null;
  let failures = 0;
  let connection = new AbortController();
  let wake = () => {};

  async function stream() {
    connection = new AbortController();
    const stop = () => connection.abort();
    signal.addEventListener("abort", stop);
    let timer = setTimeout(stop, SILENCE);
    try {
      const answer = await api.events(id, last, connection.signal);
      badge("live");
      if (failures) await poll();
      for await (const event of readEvents(answer.body)) {
        clearTimeout(timer);
        timer = setTimeout(stop, SILENCE);
        failures = 0;
        if (event === null) continue;
        if (event.id !== null) last = event.id;
        handle(event.type, parse(event.data));
      }
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
  }

  async function pollFor(ms) {
    const until = performance.now() + ms;
    while (!signal.aborted && !ended() && performance.now() < until) {
      await sleep(Math.min(POLL, until - performance.now()), signal);
      if (!signal.aborted && !document.hidden) await poll();
    }
  }

  let waiting = null;
  const woken = () => (waiting ??= new Promise((resolve) => {
    wake = () => {
      waiting = null;
      resolve();
    };
    signal.addEventListener("abort", wake, { once: true });
  }));

  async function go() {
    while (!signal.aborted) {
      if (ended()) {
        badge("ended");
        // Somebody may resume it elsewhere, unless there is nothing to resume.
        await (final() ? woken() : Promise.race([woken(), sleep(HIDDEN, signal)]));
        if (!signal.aborted && !final() && !document.hidden) await look();
        continue;
      }
      if (document.hidden && paused) {
        badge("paused");
        // Seldom, for the title of the tab.
        await Promise.race([woken(), sleep(HIDDEN, signal)]);
        if (!signal.aborted) await poll();
        continue;
      }
      badge(failures < 2 ? "connecting" : "polling");
      let lost = false;
      try {
        await stream();
      } catch {
        lost = true;
      }
      if (signal.aborted || paused) continue;
      if (lost) failures += 1;
      badge(failures < 2 ? "connecting" : "polling");
      await poll();
      if (ended()) continue;
      const wait = Math.min(LONGEST_WAIT, 500 * 2 ** failures) * (0.75 + Math.random() / 2);
      if (failures >= 2) await pollFor(wait);
      else await sleep(wait, signal);
    }
  }

  let paused = false;
  let hiding = 0;
  function visibility() {
    clearTimeout(hiding);
    if (document.hidden) {
      hiding = setTimeout(() => {
        paused = true;
        connection.abort();
      }, HIDDEN);
    } else if (paused) {
      paused = false;
      wake();
    }
  }
  document.addEventListener("visibilitychange", visibility, { signal });

  go();
  return () => {
    failures = 0;
    wake();
  };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
