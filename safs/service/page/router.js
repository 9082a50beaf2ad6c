// Which view an address shows: `#/studies`, `#/studies/ID`, `#/studies/ID/report`, `#/submit`.

import { h, put } from "./dom.js";
import { listView } from "./list.js";
import { reportView } from "./report.js";
import { studyView } from "./study.js";
import { submitView } from "./submit.js";
import { title } from "./title.js";
import * as token from "./token.js";

const ROUTES = [
  [/^\/studies\/([^/]+)\/report$/, reportView],
  [/^\/studies\/([^/]+)$/, studyView],
  [/^\/studies\/?$/, listView],
  [/^\/submit$/, submitView],
];

let leaving = new AbortController();

export function install(main, nav) {
  const go = (first) => {
    leaving.abort(new DOMException("Another view was opened.", "AbortError"));
    leaving = new AbortController();
    const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
    const [view, argument] = find(path || "/studies");
    mark(nav, path || "/studies");
    put(main);
    scrollTo(0, 0);
    view(main, { argument, query: new URLSearchParams(query), signal: leaving.signal, arrived: !first });
    if (!first) main.querySelector("h1")?.focus({ preventScroll: true });
  };
  addEventListener("hashchange", () => {
    token.takeFromAddress();
    go(false);
  });
  go(true);
}

function find(path) {
  for (const [pattern, view] of ROUTES) {
    const match = pattern.exec(path);
    if (match) return [view, match[1] === undefined ? null : safely(match[1])];
  }
  return [nothingHere, null];
}

function safely(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function mark(nav, path) {
  for (const link of nav.querySelectorAll("a")) {
    const own = link.getAttribute("href").slice(1);
    if (path === own) link.setAttribute("aria-current", "page");
    else if (path.startsWith(`${own}/`)) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

function nothingHere(main) {
  title("Nothing here");
  put(main, h("h1", { tabindex: -1 }, "Nothing here"), h("p", {}, h("a", { href: "#/studies" }, "All studies")));
}
