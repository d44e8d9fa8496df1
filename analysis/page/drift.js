"use strict";
/* the table of drifts, and the text that is read */

const now = { row: null, index: 0, text: null };
const rowOf = new Map(data.rows.map((row) => [row.place, row]));
const many = new Set(data.rows.map((row) => row.model)).size > 1;
const task = (row) => (many ? `${taskOf(row)}, ${row.model}` : taskOf(row));
const title = (row) => (row.floor ? `${row.method} (floor)` : name(row));
const settings = new Set(data.rows.map((row) => `${taskOf(row)}, ${row.model}`));
const columns = [
  settings.size > 1 && ["task", (row) => `${taskOf(row)}, ${row.model}`, true],
  ["method", (row) => element("span", { class: "named" }, marker(row.method), title(row)), true],
  ["budget", (row) => short(row.tokens)], ["texts", (row) => short(row.texts)], ["KL", (row) => short(row.kl)],
  ["typical, 95 %", (row) => (known(row.kl_low) ? `${short(row.kl_typical)} [${short(row.kl_low)}, ${short(row.kl_high)}]` : short(row.kl_typical))],
  ["worst tenth", (row) => short(row.kl_worst)], ["answer", (row) => short(row.kl_answer)], ["NLL", (row) => short(row.nll)], ["mass", (row) => short(row.mass)],
  ["same", (row) => percent(row.same)], ["first", (row) => short(row.first)], ["evictions", (row) => short(row.evictions)], ["cache MB", (row) => megabytes(row.resident_bytes)],
  data.rows.some((row) => row.note) && ["note", (row) => row.note, true],
].filter(Boolean);

function address(row, index = 0) {
  const text = data.forced[row.place][index];
  return text ? written(task(row), text.sample, text.draw + 1, title(row)) : "#reader";
}

function line(row) {
  const cells = columns.map(([, show, text], i) => element("td", { class: text && "text" }, element("a", { href: address(row), tabindex: i ? -1 : 0 }, show(row))));
  return element("tr", { title: row.run, class: row.floor && "dense" }, ...cells);
}

function open(row, index = 0) {
  Object.assign(now, { row, index, text: null });
  const forced = data.forced[row.place];
  byId("run").value = row.place;
  byId("text").replaceChildren(...forced.map(({ sample, draw }, i) => element("option", { value: i }, `${sample}, draw ${draw + 1}`)));
  byId("text").value = index;
  if (!forced.length) return byId("facts").replaceChildren("this run has no text yet");
  const still = () => now.row === row && now.index === index;
  const received = (text) => { if (still()) { now.text = text; showText(text); find(text); } };
  return textOf(forced[index].name).then(received, (why) => still() && byId("facts").replaceChildren(why.message));
}

function moved(row, index = 0) {
  open(row, index);
  history.replaceState(null, "", address(row, index));
}

function follow() {
  const asked = parts(location.hash);
  if (!asked) return;
  const ofTask = data.rows.filter((row) => [task(row), taskOf(row), row.task].includes(asked.task));
  const row = ofTask.find((each) => title(each) === asked.method) || ofTask.find((each) => [each.method, ""].includes(asked.method));
  const index = row ? data.forced[row.place].findIndex(({ sample, draw }) => sample === asked.sample && draw + 1 === asked.draw) : -1;
  if (index >= 0) open(row, index);
  arrive(index < 0 && `There is no text ${location.hash} in this report.`);
}

byId("table").tHead.append(element("tr", {}, ...columns.map(([label, , text]) => element("th", { class: text && "text", scope: "col" }, label))));
byId("table").tBodies[0].append(...data.rows.map(line));
grid(byId("table"));
figureList(data.figures);
byId("run").append(...data.rows.map((row) => element("option", { value: row.place }, `${settings.size > 1 ? `${task(row)}: ` : ""}${title(row)}`)));
byId("run").addEventListener("change", () => moved(rowOf.get(Number(byId("run").value))));
byId("text").addEventListener("change", () => moved(now.row, Number(byId("text").value)));
byId("first").addEventListener("click", () => showToken(now.text.other[0]));
byId("worst").addEventListener("click", () => showToken(now.text.kl.indexOf(Math.max(...now.text.kl))));
byId("find").addEventListener("input", () => now.text && find(now.text));
byId("find").addEventListener("keydown", (event) => event.key === "Enter" && nextHit(event.shiftKey ? -1 : 1));
byId("find-next").addEventListener("click", () => nextHit(1));
byId("find-previous").addEventListener("click", () => nextHit(-1));
const first = data.rows.find((row) => !row.floor) || data.rows[0];
if (first) open(first);
followed(follow);
follow();
