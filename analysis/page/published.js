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
  const textual = (i) => (i > 9 ? "text wraps" : (i < 3 || i === 8) && "text");
  const head = header.map((label, i) => element("th", { class: textual(i), scope: "col" }, label));
  const cells = (texts, href) => texts.map((text, i) => element("td", { class: textual(i) }, text && element("a", { href, tabindex: i ? -1 : 0 }, text)));
  const places = new Map(data.rows.map((row) => [row.run, row.place]));
  const rows = lines.map((texts, i) => element("tr", {}, ...cells(texts, address(places.get(data.published[i].run), 0))));
  byId("beside").replaceChildren(element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
  grid(byId("beside"));
  byId("published").append(element("p", { class: "hint" }, [...new Set(data.published.map((row) => row.source))].join("; ")));
}
