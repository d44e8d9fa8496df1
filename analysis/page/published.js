"use strict";
/* what was measured beside what was published */

function publishedTable() {
  if (!data.published.length) {
    byId("published").append(element("p", { class: "hint" }, "No task, model and method of these runs is among the published numbers."));
    byId("beside").parentElement.remove();
    return;
  }
  const header = ["task", "model", "method", "budget", "measured", "95 %", "published budget", "published", "difference, 95 %", "agree", "not comparable", "caveat"];
  const lines = data.published.map((row) => [row.task, row.model, row.method, whole(row.tokens), known(row.accuracy) ? (100 * row.accuracy).toFixed(1) : "-",
    known(row.accuracy) ? `${(100 * row.accuracy_low).toFixed(1)} to ${(100 * row.accuracy_high).toFixed(1)}` : "-", whole(row.published_tokens), row.published.toFixed(2),
    known(row.difference) ? `${row.difference.toFixed(1)} (${row.difference_low.toFixed(1)} to ${row.difference_high.toFixed(1)})` : "-",
    known(row.agrees) ? (row.agrees ? "yes" : "no") : "-", row.not_comparable || "", row.caveat]);
  const textual = (i) => (i < 3 || i === 8 || i > 9) && "text";
  const line = (tag, cells) => element("tr", {}, ...cells.map((cell, i) => element(tag, { class: textual(i), scope: tag === "th" ? "col" : null }, cell)));
  byId("beside").replaceChildren(element("thead", {}, line("th", header)), element("tbody", {}, ...lines.map((cells) => line("td", cells))));
  byId("published").append(element("p", { class: "hint" }, [...new Set(data.published.map((row) => row.source))].join("; ")));
}
