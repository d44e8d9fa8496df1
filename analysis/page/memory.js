"use strict";
/* two tables: what is left of what was evicted, and what is read from what was kept */

const influenceColumns = [
  ["task", (row) => row.task, true], ["span or method", (row) => row.what, true],
  ["eraser", (row) => row.eraser || (row.of && `evicted, ${row.of}`), true], ["behind", (row) => short(row.after)],
  ["texts", (row) => short(row.texts)], ["nats", (row) => short(row.kl_dense / row.tokens)], ["anew", (row) => short(row.recomputed)],
  ["influence, 95 %", (row) => (known(row.influence) ? `${short(row.influence)} [${short(row.low)}, ${short(row.high)}]` : "-")],
  ...sinces().map((since) => [`from ${since}`, (row) => short((row.since.find(([at]) => at === since) || [])[1])]),
];
const readingColumns = [
  ["task", (row) => row.task, true], ["method", (row) => row.method, true], ["ratio", (row) => short(row.ratio)],
  ...backs().map((back) => [back ? `${back} back` : "own token", (row) => share(row.backs.find(([at]) => at === back))]),
  ["prompt", (row) => (row.prompt ? share([0, row.prompt.recovered, row.prompt.text]) : "-")],
  ["nowhere", (row) => (row.prompt ? percent(row.prompt.nowhere) : "-")],
];

function sinces() { return ordered(data.influence.flatMap((row) => row.since.map(([at]) => at))); }
function backs() { return ordered(data.readings.flatMap((row) => row.backs.map(([at]) => at))); }
function ordered(numbers) { return [...new Set(numbers)].sort((a, b) => a - b); }
function share(found) { return found ? `${percent(found[1])} (${percent(found[2])})` : "-"; }

function fill(id, rows, columns) {
  byId(id).closest("section").hidden = !rows.length;
  byId(id).tHead.append(element("tr", {}, ...columns.map(([label, , text]) => element("th", { class: text && "text", scope: "col" }, label))));
  byId(id).tBodies[0].append(...rows.map((row) => element("tr", {}, ...columns.map(([, show, text]) => element("td", { class: text && "text" }, show(row) || "-")))));
}

fill("influence", data.influence, influenceColumns);
fill("readings", data.readings, readingColumns);
figureList(data.figures);
byId("charts").hidden = !data.figures.length;
