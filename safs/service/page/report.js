// The report of a study, in a frame without scripts, forms or addresses of its own.
//
// A report is untrusted text. It is parsed where nothing runs or loads, scripts and everything that could act are taken
// out, and what is left is put into a sandboxed frame, whose policy is this page's. That policy forbids style elements,
// so its style sheets are adopted from here.

import * as api from "./api.js";
import { h, put, say } from "./dom.js";
import { download } from "./download.js";
import { title } from "./title.js";
import { hasEnded } from "./words.js";

const PATH = "report.html";
const STYLE = /<style\b[^>]*>([^]*?)<\/style\s*>/gi;
const ACTING = "script, style, link, meta, base, object, embed, iframe, frame, form, template, portal, audio, video, noscript";

export async function reportView(main, { argument: id, signal }) {
  title("Report");
  const back = `#/studies/${encodeURIComponent(id)}`;
  const note = h("p", { role: "status" }, "Loading…");
  const save = h("button", { type: "button", hidden: true, click: () => download(id, PATH).catch((error) => { note.hidden = false; say(note, error.message); }) }, "Download");
  const heading = h("h1", { tabindex: -1 }, "Report");
  put(
    main,
    h("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, h("a", { href: "#/studies" }, "Studies"), h("span", { "aria-hidden": "true" }, "/"), h("a", { href: back }, "Study")),
    h("div", { class: "head" }, heading, save),
    note,
  );
  try {
    if (!hasEnded(await api.study(id, signal))) {
      say(note, "The report can be opened and downloaded when the study has ended.");
      return;
    }
    const answer = await api.call(api.artifactPath(id, PATH), { signal });
    const text = await answer.text();
    const styles = [...text.matchAll(STYLE)].map(([, style]) => style);
    // Without them before it is parsed, for the parser already complains of what the policy forbids.
    const parsed = new DOMParser().parseFromString(text.replaceAll(STYLE, ""), "text/html");
    clean(parsed);
    await pictures(parsed, id, signal);
    if (signal.aborted) return;
    note.hidden = true;
    save.hidden = false;
    main.append(frame(parsed, styles));
  } catch (error) {
    if (signal.aborted) return;
    say(note, error.status === 404 ? "This study has no report." : error.message);
  }
}

/** Take out what could act or load; keep style attributes aside, to be set from here. */
function clean(parsed) {
  parsed.querySelectorAll(ACTING).forEach((node) => node.remove());
  for (const node of parsed.querySelectorAll("*")) {
    for (const { name, value } of [...node.attributes]) {
      const plain = name.toLowerCase();
      if (plain === "style") node.setAttribute("data-style", value);
      const link = ["href", "xlink:href"].includes(plain) && !value.startsWith("#");
      if (plain === "style" || plain.startsWith("on") || plain === "srcset" || plain === "action" || plain === "formaction" || plain === "ping" || plain === "target" || link) node.removeAttribute(name);
    }
  }
}

/** Relative pictures are artifacts of the same study; they become data, all others that are not data are left out. */
async function pictures(parsed, id, signal) {
  for (const image of parsed.querySelectorAll("[src]")) {
    const source = image.getAttribute("src");
    if (source.startsWith("data:image/")) continue;
    image.removeAttribute("src");
    if (image.localName !== "img" || !/^[\w][\w./-]*\.(png|jpe?g|svg|webp)$/i.test(source) || source.includes("..")) continue;
    try {
      image.src = await asData(await (await api.call(api.artifactPath(id, source), { signal })).blob());
    } catch {
      // The picture's alternative text stands for it.
    }
  }
}

function asData(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

function frame(parsed, styles) {
  const node = h("iframe", { class: "report", sandbox: "allow-same-origin", title: "Report of the study", srcdoc: "<!doctype html><title>Report</title>" });
  node.addEventListener("load", () => {
    const inside = node.contentDocument;
    const view = node.contentWindow;
    inside.documentElement.replaceWith(inside.importNode(parsed.documentElement, true));
    inside.adoptedStyleSheets = styles.map((text) => {
      const sheet = new view.CSSStyleSheet();
      sheet.replaceSync(text);
      return sheet;
    });
    for (const styled of inside.querySelectorAll("[data-style]")) styled.style.cssText = styled.dataset.style;
    inside.addEventListener("click", (event) => {
      const link = event.target.closest?.("a[href]");
      if (!link) return;
      // A link of the report moves in the report; it must not become an address of this page.
      event.preventDefault();
      inside.getElementById(link.getAttribute("href").slice(1))?.scrollIntoView();
    });
  }, { once: true });
  return node;
}
