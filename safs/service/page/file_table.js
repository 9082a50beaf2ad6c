// A table of files. A row lives as long as its file is listed, so a refresh moves neither focus nor selection. The roles
// are written out because at phone width a row is laid out as a card, which else takes its meaning away.

import { download } from "./download.js";
import { h, hidden, put, say } from "./dom.js";
import { ago, bytes, clock } from "./format.js";

export function fileTable(id, label, complain) {
  const body = h("tbody", { role: "rowgroup" });
  const head = (inside, kind) => h("th", { scope: "col", role: "columnheader", class: kind }, inside);
  const heads = h("tr", { role: "row" }, head("File"), head("Size", "num"), head("Changed"), head(hidden("Download")));
  const table = h("table", { class: "files", role: "table" }, h("caption", { class: "hidden" }, label), h("thead", { role: "rowgroup" }, heads), body);
  const node = h("div", { class: "scroll tall", role: "region", tabindex: 0, "aria-label": label }, table);
  const known = new Map();
  return {
    node,
    /** `gives`: whether they can be downloaded. */
    show(files, gives) {
      node.hidden = files.length === 0;
      const paths = new Set(files.map((file) => file.path));
      for (const [path, row] of known) {
        if (paths.has(path)) continue;
        row.node.remove();
        known.delete(path);
      }
      files.forEach((file, index) => {
        if (!known.has(file.path)) known.set(file.path, oneRow(id, file.path, complain));
        const row = known.get(file.path);
        row.show(file, gives);
        if (body.children[index] !== row.node) body.insertBefore(row.node, body.children[index] ?? null);
      });
    },
  };
}

function oneRow(id, path, complain) {
  const size = h("td", { role: "cell", class: "num size" });
  const time = h("time", {});
  const button = h("button", { type: "button", class: "small-button", click: get }, "Download", hidden(` ${path}`));
  const node = h(
    "tr",
    { role: "row" },
    h("th", { scope: "row", role: "rowheader", class: "mono path" }, path),
    size,
    h("td", { role: "cell", class: "soft changed" }, time),
    h("td", { role: "cell", class: "end" }, button),
  );

  async function get() {
    complain(null);
    put(button, "Loading…", hidden(` ${path}`));
    button.setAttribute("aria-busy", "true");
    try {
      await download(id, path);
    } catch (error) {
      complain(`${path}: ${error.message}`);
    }
    button.removeAttribute("aria-busy");
    put(button, "Download", hidden(` ${path}`));
  }

  return {
    node,
    show(file, gives) {
      button.hidden = !gives;
      say(size, bytes(file.size));
      say(time, ago(file.modified));
      time.title = clock(file.modified);
    },
  };
}
