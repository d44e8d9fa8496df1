"use strict";
/* arrow keys among the links of a table: left, right, up, down, Home and End of a row, with Ctrl of the table */

function grid(table) {
  table.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td");
    const line = cell && cell.parentElement;
    if (!cell || event.altKey || event.metaKey) return;
    const lines = [...line.parentElement.rows].filter((row) => row.querySelector("td a"));
    const next = target(event, lines, lines.indexOf(line), cell.cellIndex);
    const link = next && next.querySelector("a");
    if (!link) return;
    event.preventDefault();
    link.focus();
  });
}

function target({ key, ctrlKey }, lines, row, column) {
  const last = (at) => lines[at].cells.length - 1;
  const first = (at) => [...lines[at].cells].findIndex((cell) => cell.querySelector("a"));
  const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[key];
  if (move) return (lines[row + move[0]] || { cells: [] }).cells[column + move[1]];
  const to = ctrlKey ? (key === "Home" ? 0 : lines.length - 1) : row;
  if (key === "Home") return lines[to].cells[first(to)];
  return key === "End" ? lines[to].cells[last(to)] : null;
}

/* of a table that has one tab stop: where the focus was last */
function oneTabStop(table) {
  grid(table);
  table.addEventListener("focusin", ({ target: link }) => {
    if (link.tagName !== "A") return;
    for (const other of table.querySelectorAll('a[tabindex="0"]')) other.tabIndex = -1;
    link.tabIndex = 0;
  });
}
