// The end of the log. It follows what comes unless the reader has scrolled up.

import * as api from "./api.js";
import { h, say } from "./dom.js";
import { panel } from "./panel.js";
import { joined } from "./timing.js";

const MOST = 200_000; // characters that are kept

export function logPanel(id, signal) {
  const text = document.createTextNode("");
  const pre = h("pre", { class: "text log", tabindex: 0, role: "region", "aria-label": "Log" }, text);
  const jump = h("button", { type: "button", class: "small-button jump", hidden: true, click: toEnd }, "Jump to the end");
  const note = h("p", { class: "soft small" }, "Nothing logged yet.");
  const frame = h("div", { class: "log-frame", hidden: true }, pre, jump);
  const node = panel("log", "Log", note, frame);
  const decoder = new TextDecoder();
  let offset = -MOST; // at first from the end
  let cut = false;

  const atEnd = () => pre.scrollHeight - pre.scrollTop - pre.clientHeight < 24;
  pre.addEventListener("scroll", () => { jump.hidden = atEnd(); }, { passive: true });

  function toEnd() {
    pre.scrollTop = pre.scrollHeight;
    jump.hidden = true;
    pre.focus({ preventScroll: true });
  }

  function append(more) {
    frame.hidden = false;
    const follows = atEnd();
    text.appendData(more);
    if (text.length > MOST) {
      // Cut at a line, so that no half of one is shown.
      const line = text.data.indexOf("\n", text.length - MOST);
      const before = pre.scrollHeight;
      text.deleteData(0, line + 1);
      cut = true;
      if (!follows) pre.scrollTop -= before - pre.scrollHeight;
    }
    if (follows) pre.scrollTop = pre.scrollHeight;
    else jump.hidden = false;
    note.hidden = !cut;
    say(note, "Earlier lines are left out here.");
  }

  const read = joined(async () => {
    try {
      for (;;) {
        const first = offset < 0;
        let { data, next, complete } = await api.log(id, offset, signal);
        if (signal.aborted) return;
        const grew = next > Math.max(0, offset);
        if (first && next > data.length) {
          cut = true;
          data = data.subarray(data.indexOf(10) + 1); // from a whole line on
        }
        offset = Math.max(0, offset, next);
        if (data.length) append(decoder.decode(data, { stream: true }));
        if (!grew || complete) return;
      }
    } catch {
      // Asked again when it grows; the view itself tells that the server is away.
    }
  }, 500, signal);

  return { node, read, show() {} };
}
