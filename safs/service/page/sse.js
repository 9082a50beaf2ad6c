// Server-sent events from a fetched body: `field: value` lines, an empty line ends an event, `:` begins a comment.

/** Yield {id, type, data} for each event, and null for bytes that end none (the stream is alive). */
export async function* readEvents(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let event = { type: "message", data: [] };
  let id = null;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield null;
      const text = rest + decoder.decode(value, { stream: true });
      // A carriage return at the end may be the first half of a line end.
      const whole = text.endsWith("\r") ? text.slice(0, -1) : text;
      const lines = whole.split(/\r\n|\n|\r/);
      rest = lines.pop() + text.slice(whole.length);
      for (const line of lines) {
        if (line === "") {
          if (event.data.length) yield { id, type: event.type, data: event.data.join("\n") };
          event = { type: "message", data: [] };
          continue;
        }
        const colon = line.indexOf(":");
        if (colon === 0) continue;
        const field = colon < 0 ? line : line.slice(0, colon);
        const content = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (field === "event") event.type = content;
        else if (field === "data") event.data.push(content);
        else if (field === "id" && !content.includes("\0")) id = content;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
