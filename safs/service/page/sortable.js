// A table that sorts by the column whose head is pressed. Heads stay, so focus does; empty values always come last.

import { h, put, say } from "./dom.js";
import { NONE } from "./format.js";

/** `columns`: {key, label, numeric, value(row)} with text(row) or node(row) where what is shown is not the value. */
export function sortable(columns, { label, sort, up = true, marked = () => null }) {
  let by = columns.find((column) => column.key === sort);
  let rows = [];
  const body = h("tbody", {});
  const told = h("span", { class: "hidden", role: "status" });
  const heads = columns.map((column) => {
    const inside = column.value ? h("button", { type: "button", class: "sort", click: () => press(column) }, column.label, h("span", { class: "arrow", "aria-hidden": "true" })) : column.label;
    return h("th", { scope: "col", class: column.numeric ? "num" : null }, inside);
  });
  const table = h("table", {}, h("caption", { class: "hidden" }, label), h("thead", {}, h("tr", {}, heads)), body);
  const node = h("div", {}, h("div", { class: "scroll tall", role: "region", tabindex: 0, "aria-label": label }, table), told);

  function press(column) {
    up = by === column ? !up : true;
    by = column;
    draw();
    say(told, `Sorted by ${column.label}, ${up ? "ascending" : "descending"}`);
  }

  function compare(a, b) {
    const left = by.value(a);
    const right = by.value(b);
    const none = (value) => value === null || value === undefined || value === "";
    if (none(left) || none(right)) return Number(none(left)) - Number(none(right));
    const order = typeof left === "number" && typeof right === "number" ? left - right : String(left).localeCompare(String(right), "en", { numeric: true });
    return up ? order : -order;
  }

  function cell(column, row) {
    const value = column.node ? column.node(row) : column.text ? column.text(row) : column.value(row);
    return h("td", { class: column.numeric ? "num" : null }, value === null || value === undefined || value === "" ? NONE : value instanceof Node ? value : String(value));
  }

  function draw() {
    columns.forEach((column, index) => {
      if (column === by) heads[index].setAttribute("aria-sort", up ? "ascending" : "descending");
      else heads[index].removeAttribute("aria-sort");
    });
    put(body, [...rows].sort(compare).map((row) => h("tr", { class: marked(row) }, columns.map((column) => cell(column, row)))));
  }

  return {
    node,
    show(next) {
      rows = next;
      draw();
    },
  };
}
