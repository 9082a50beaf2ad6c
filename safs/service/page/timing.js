// Waiting: sleeping, repeating and joining calls. All end with the signal of the view that asked.

/** Resolve after `ms`, or as soon as the signal is aborted. */
export function sleep(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    if (signal?.aborted) done();
    else signal?.addEventListener("abort", done);
  });
}

/** Call `work` every `ms` (after it has ended) while the page is visible. */
export async function repeat(ms, work, signal) {
  while (!signal.aborted) {
    await sleep(ms, signal);
    if (!signal.aborted && !document.hidden) await work();
  }
}

/** A function that runs `work` soon: calls that come meanwhile are joined to one, at most one each `gap` ms, and never two at once. */
export function joined(work, gap, signal) {
  let running = false;
  let again = false;
  return async function ask() {
    again = true;
    if (running) return;
    running = true;
    while (again && !signal.aborted) {
      again = false;
      const begun = performance.now();
      await work();
      // A slow answer (a large study, a busy server) is asked for less often.
      await sleep(Math.max(gap, 5 * (performance.now() - begun)), signal);
    }
    running = false;
  };
}
