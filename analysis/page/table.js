"use strict";
/* the table of runs */

function head() {
  const cells = visible().map((column) => {
    const order = state.sort === column ? (state.descending ? "descending" : "ascending") : null;
    return element("th", { class: column.text && "text", scope: "col", "aria-sort": order }, element("button", { onclick: () => sortBy(column) }, column.label));
  });
  byId("table").tHead.replaceChildren(element("tr", {}, ...cells));
}

function sortBy(column) {
  state.descending = state.sort === column ? !state.descending : !column.text;
  state.sort = column;
  table();
  [...byId("table").tHead.querySelectorAll("button")].find((button) => button.textContent === column.label).focus();
}

function compareBy({ value }) {
  return (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (!known(x) || !known(y)) return known(y) - known(x);
    const order = typeof x === "string" ? x.localeCompare(y) : x - y;
    return state.descending ? -order : order;
  };
}

function shown() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (row) => {
    const text = [taskOf(row), row.model, name(row), row.run, remarks(row)].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  };
  const rows = data.rows.filter((row) => (byId("all").checked || settingOf.get(row.place) === state.setting) && matches(row));
  return state.sort === null ? rows : rows.sort(compareBy(state.sort));
}

/* each cell opens a completion; Tab stops at the first of a row, the arrows reach the others */
function line(row, shownColumns) {
  const opened = new Map([any, lost, looped].map((measure) => [measure, most(row, measure)]));
  const cells = shownColumns.map(({ value, show = value, text, wraps, opens = any }, i) => {
    const problem = opened.get(opens);
    const draw = opens === looped ? runOf.get(row.place).first_loops[problem] : 0;
    const cell = show(row);
    const link = element("a", { href: address(row.place, problem, draw), tabindex: i ? -1 : 0, "aria-label": cell === "" ? "no note" : null }, cell);
    return element("td", { class: [text && "text", wraps && "wraps"].filter(Boolean).join(" ") }, link);
  });
  return element("tr", { class: row.method === data.dense && "dense", title: row.run }, ...cells);
}

function table() {
  head();
  const rows = shown();
  byId("count").textContent = `${rows.length} of ${data.rows.length} runs`;
  const shownColumns = visible();
  byId("table").classList.toggle("noted", rows.some(remarks));
  byId("table").tBodies[0].replaceChildren(...rows.map((row) => line(row, shownColumns)));
}
