"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const rowOf = new Map(data.rows.map((row) => [row.place, row]));
const colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
const symbols = ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross"];
const methods = [...new Set(data.rows.map((row) => row.method))].filter((name) => name !== data.dense).sort();
const PAGE_CHARACTERS = 4000;
const PAGE_PROBLEMS = 200;
const state = { setting: 0, sort: null, descending: true, firstProblem: 0, problem: 0, sides: [null, null], hidden: new Set() };

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const known = (value) => value !== null && value !== undefined;
const write = (value, digits = 3) => (known(value) ? value.toFixed(digits) : "-");
const percent = (value) => (known(value) ? `${(100 * value).toFixed(1)}%` : "-");
const whole = (value) => (known(value) ? Math.round(value).toLocaleString("en") : "-");
const signed = (value) => (value < 0 ? "" : "+") + value.toFixed(3);
const taskOf = (row) => (row.difficulty ? `${row.task} (${row.difficulty})` : row.task);
const setting = () => data.settings[state.setting];
const name = (row) => `${row.method}${row.method === data.dense ? "" : ` ${Number(row.ratio.toPrecision(3))}x`}`;

/* two runs of one method and ratio are told apart by their folder */
function title(place) {
  const row = rowOf.get(place);
  const twins = setting().runs.filter((run) => name(rowOf.get(run.place)) === name(row));
  return twins.length > 1 ? `${name(row)} · ${row.run.split("/").pop()}` : name(row);
}

/* ---- summary ---- */

function summary() {
  const completions = data.settings.flatMap((s) => s.runs.flatMap((run) => run.draws)).reduce((n, d) => n + d.length, 0);
  const unfinished = data.rows.filter((row) => !row.complete);
  const tiles = [
    [data.rows.length, "runs"], [completions.toLocaleString("en"), "completions"],
    [data.settings.length, "tasks x models"], [methods.length, "compressed methods"], [unfinished.length, "unfinished runs"],
  ];
  byId("tiles").append(...tiles.map(([n, text]) => element("div", { class: "tile" }, element("b", {}, String(n)), element("span", {}, text))));
  const noted = data.rows.filter((row) => /incomplete|no dense|in common|never evicted/.test(row.note) || row.ungraded);
  const lines = noted.slice(0, 8).map((row) => `${name(row)} on ${taskOf(row)}: ${remarks(row)}`);
  if (noted.length > 8) lines.push(`and ${noted.length - 8} more, see the notes of the table`);
  byId("warnings").append(...lines.map((line) => element("li", {}, line)));
}

function remarks(row) {
  const errors = row.error_rate ? `errors ${percent(row.error_rate)}` : "";
  return [row.note, errors, row.ungraded ? `ungraded ${row.ungraded}` : ""].filter(Boolean).join("; ");
}

/* ---- table ---- */

const dagger = (row, key) => (row[`${key}_low`] > 0 || row[`${key}_high`] < 0 ? "†" : "");

function interval(row) {
  const bar = element("span", { class: "interval", title: `95 % interval ${write(row.accuracy_low)} to ${write(row.accuracy_high)}` });
  bar.append(element("i", { style: `left:${100 * row.accuracy_low}%;width:${100 * (row.accuracy_high - row.accuracy_low)}%` }));
  bar.append(element("b", { style: `left:calc(${100 * row.accuracy}% - 1px)` }));
  return bar;
}

function difference(row, key) {
  if (!known(row[key])) return document.createTextNode("-");
  const tip = `${row.common} problems in common; 95 % interval ${write(row[`${key}_low`])} to ${write(row[`${key}_high`])}; p ${write(row[`${key}_p`])}, after Holm ${write(row[`${key}_p_holm`])}`;
  return element("span", { title: tip }, signed(row[key]) + dagger(row, key));
}

const columns = [
  ["task", taskOf, (row) => taskOf(row), true],
  ["model", (row) => row.model, (row) => row.model, true],
  ["method", (row) => row.method, (row) => row.method, true],
  ["ratio", (row) => row.ratio, (row) => `${Number(row.ratio.toPrecision(3))}x`],
  ["budget", (row) => row.tokens, (row) => whole(row.tokens)],
  ["accuracy", (row) => row.accuracy, (row) => (known(row.accuracy) ? element("span", {}, write(row.accuracy), interval(row)) : "-")],
  ["vs dense", (row) => row.gain, (row) => difference(row, "gain")],
  ["loops", (row) => row.loop_rate, (row) => percent(row.loop_rate)],
  ["loops vs dense", (row) => row.loop_gain, (row) => difference(row, "loop_gain")],
  ["truncated", (row) => row.truncation_rate, (row) => percent(row.truncation_rate)],
  ["length", (row) => row.mean_length, (row) => whole(row.mean_length)],
  ["peak slots", (row) => row.peak_slots, (row) => whole(row.peak_slots)],
  ["read", (row) => row.tokens_read, (row) => whole(row.tokens_read)],
  ["evictions", (row) => row.evictions, (row) => write(row.evictions, 1)],
  ["cache MB", (row) => row.resident_bytes, (row) => (known(row.resident_bytes) ? (row.resident_bytes / 1e6).toPrecision(3) : "-")],
  ["tok/s", (row) => row.tokens_per_s, (row) => whole(row.tokens_per_s)],
  ["tok/s, equal memory", (row) => row.tokens_per_s_equal_memory, (row) => whole(row.tokens_per_s_equal_memory)],
  ["note", remarks, remarks, true],
];

function head() {
  const cells = columns.map(([label, , , text], i) =>
    element("th", { class: text && "text", onclick: () => sortBy(i), tabindex: 0, onkeydown: (e) => e.key === "Enter" && sortBy(i) }, label));
  byId("table").tHead.replaceChildren(element("tr", {}, ...cells));
}

function sortBy(column) {
  state.descending = state.sort === column ? !state.descending : !columns[column][3];
  state.sort = column;
  [...byId("table").tHead.rows[0].cells].forEach((cell, i) => {
    if (i === column) cell.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
  table();
}

function compareBy(value) {
  return (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (!known(x) || !known(y)) return known(y) - known(x);
    const order = typeof x === "string" ? x.localeCompare(y) : x - y;
    return state.descending ? -order : order;
  };
}

function shown() {
  const inSetting = new Set(setting().runs.map((run) => run.place));
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (row) => {
    const text = columns.filter((c) => c[3]).map((c) => c[1](row)).concat(name(row), row.run).join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  };
  const rows = data.rows.filter((row) => (byId("all").checked || inSetting.has(row.place)) && matches(row));
  return state.sort === null ? rows : rows.sort(compareBy(columns[state.sort][1]));
}

function table() {
  const rows = shown();
  byId("count").textContent = `${rows.length} of ${data.rows.length} runs`;
  const lines = rows.map((row) => {
    const cells = columns.map(([, , show, text]) => element("td", { class: text && "text" }, show(row)));
    return element("tr", { class: row.method === data.dense && "dense", title: row.run, onclick: () => readRow(row.place) }, ...cells);
  });
  byId("table").className = byId("all").checked ? "" : "one";
  byId("table").tBodies[0].replaceChildren(...lines);
}

/* ---- charts ---- */

function look(method) {
  const i = methods.indexOf(method);
  if (i < 0) return { color: "#000", symbol: "star" };
  return { color: colours[i % 6], symbol: symbols[(i + Math.floor(i / 6)) % 6] };
}

function traces(rows, x, y, low, high, mode) {
  return [data.dense, ...methods].map((method) => {
    const line = rows.filter((row) => row.method === method && known(x(row)) && known(y(row))).sort((a, b) => x(a) - x(b));
    const style = look(method);
    const spread = low && { type: "data", symmetric: false, thickness: 1, width: 2, array: line.map((r) => high(r) - y(r)), arrayminus: line.map((r) => y(r) - low(r)) };
    return { name: method, x: line.map(x), y: line.map(y), text: line.map(name), mode, error_y: spread, line: { color: style.color, width: 1.5 }, marker: { ...style, size: 8 } };
  }).filter((trace) => trace.x.length);
}

function onsetTraces(rows) {
  return methods.map((method) => {
    const points = rows.filter((row) => row.method === method).flatMap((row) => data.onsets[row.place].map((p) => [...p, name(row)]));
    return { name: method, x: points.map((p) => p[0]), y: points.map((p) => p[1]), text: points.map((p) => p[2]), mode: "markers", marker: { ...look(method), size: 6, opacity: 0.6 } };
  }).filter((trace) => trace.x.length);
}

/* the library is large: it is run when a chart first comes into view */
function library() {
  if (window.Plotly) return;
  const script = element("script");
  script.textContent = byId("plotly").textContent;
  document.head.append(script);
}

function legend() {
  const used = new Set(setting().runs.map((run) => rowOf.get(run.place).method));
  const chips = [data.dense, ...methods].filter((method) => used.has(method)).map((method) => {
    const toggle = () => { state.hidden.has(method) ? state.hidden.delete(method) : state.hidden.add(method); charts(); };
    return element("button", { class: state.hidden.has(method) ? "chip off" : "chip", onclick: toggle }, element("i", { style: `background:${look(method).color}` }), method);
  });
  byId("legend").replaceChildren(...chips);
}

const coming = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    coming.unobserve(target);
    library();
    target.draw();
  }
});

function charts() {
  legend();
  const rows = setting().runs.map((run) => rowOf.get(run.place)).filter((row) => !state.hidden.has(row.method));
  const [accuracy, low, high] = ["accuracy", "accuracy_low", "accuracy_high"].map((key) => (row) => row[key]);
  const ratio = { title: { text: "compression ratio" }, type: "log", tickvals: [...new Set(rows.map((r) => r.ratio))], ticktext: [...new Set(rows.map((r) => `${Number(r.ratio.toPrecision(3))}x`))] };
  const share = (text) => ({ title: { text }, range: [-0.03, 1.05] });
  const drawn = [
    [traces(rows, (r) => r.ratio, accuracy, low, high, "lines+markers"), ratio, share("pass@1")],
    [traces(rows, (r) => known(r.resident_bytes) ? r.resident_bytes / 1e6 : null, accuracy, low, high, "markers"), { title: { text: "cache of the largest row (MB)" } }, share("pass@1")],
    [traces(rows, (r) => r.ratio, (r) => r.loop_rate, (r) => r.loop_rate_low, (r) => r.loop_rate_high, "lines+markers"), ratio, share("loop rate")],
    [traces(rows, (r) => r.tokens_per_s, accuracy, low, high, "markers"), { title: { text: "tokens/s of the run" } }, share("pass@1")],
    [onsetTraces(rows), { title: { text: "evictions before the loop" } }, { title: { text: "loop onset (token)" } }],
  ].filter(([lines]) => lines.length);
  byId("plots").replaceChildren(...drawn.map(([lines, xaxis, yaxis]) => {
    const box = element("div", { class: "plot" });
    xaxis.title.standoff = 6;
    const layout = { margin: { l: 55, r: 20, t: 30, b: 50 }, xaxis, yaxis, font: { size: 12 }, showlegend: false, hovermode: "closest" };
    box.draw = () => Plotly.newPlot(box, lines, layout, { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
    coming.observe(box);
    return box;
  }));
}

function figureList() {
  byId("figures").append(...data.figures.map((figure) =>
    element("a", { href: `figures/${figure}.svg` }, element("img", { src: `figures/${figure}.png`, loading: "lazy", alt: figure }), `${figure}.svg`)));
  byId("missing").append(...Object.entries(data.missing).map(([figure, why]) => element("li", {}, `${figure} is not drawn: ${why}`)));
}

/* ---- problems x runs ---- */

function columnsShown() {
  const all = setting().problems.map((_, i) => i);
  if (!byId("split").checked) return all;
  return all.filter((i) => new Set(setting().runs.map((run) => run.scores[i]).filter(known)).size > 1);
}

function matrix() {
  const all = columnsShown();
  state.firstProblem = Math.max(0, Math.min(state.firstProblem, all.length - 1));
  state.firstProblem -= state.firstProblem % PAGE_PROBLEMS;
  const page = all.slice(state.firstProblem, state.firstProblem + PAGE_PROBLEMS);
  byId("range").textContent = all.length ? `${state.firstProblem + 1} to ${state.firstProblem + page.length} of ${all.length} problems` : "no problem";
  byId("earlier").disabled = state.firstProblem === 0;
  byId("later").disabled = state.firstProblem + PAGE_PROBLEMS >= all.length;
  const lines = setting().runs.map((run) => {
    const cells = page.map((i) => {
      const score = run.scores[i];
      const kind = known(score) ? `s${Math.round(10 * score)}` : "none";
      return element("td", { class: kind + (run.loops[i] ? " loop" : ""), "data-problem": i, "data-run": run.place });
    });
    return element("tr", {}, element("th", { title: rowOf.get(run.place).run }, title(run.place)), ...cells);
  });
  byId("cells").replaceChildren(...lines);
}

function describeCell(event) {
  const cell = event.target.closest("td");
  if (!cell || cell.title) return;
  const [i, place] = [Number(cell.dataset.problem), Number(cell.dataset.run)];
  const run = setting().runs.find((r) => r.place === place);
  const loops = run.loops[i] ? `, loops ${percent(run.loops[i])}` : "";
  cell.title = `${title(place)}, ${setting().problems[i].sample}: ${known(run.scores[i]) ? write(run.scores[i], 2) : "no verdict"}${loops}`;
}

function readCell(event) {
  const cell = event.target.closest("td");
  if (!cell) return;
  const [problem, place] = [Number(cell.dataset.problem), Number(cell.dataset.run)];
  read(problem, place, setting().runs.find((run) => run.place === place).first_loops[problem]);
}

/* ---- reader ---- */

const texts = new Map();

/* each file of texts/ calls this */
function receive(key, text) {
  const waiting = texts.get(key);
  texts.set(key, { text });
  if (waiting && waiting.then) waiting.then(text);
}

function fetchText(key, then, failed) {
  const there = texts.get(key);
  if (there && there.text) return then(there.text);
  texts.set(key, { then });
  const file = `texts/${key.split("-")[0]}.js`;
  const script = element("script", { src: file, onerror: () => { texts.delete(key); failed(`${file} is not beside this page`); } });
  script.addEventListener("load", () => script.remove());
  return document.head.append(script);
}

function denseOf() {
  const run = setting().runs.find((r) => rowOf.get(r.place).method === data.dense);
  return (run || setting().runs[0]).place;
}

function readRow(place) {
  const index = data.settings.findIndex((s) => s.runs.some((run) => run.place === place));
  if (index !== state.setting) choose(index);
  read(state.problem, place);
}

function read(problem, place, draw = 0) {
  state.problem = problem;
  state.sides = [{ place: denseOf(), draw }, { place, draw }];
  reader();
  byId("reader").scrollIntoView();
}

function reader() {
  const problems = setting().problems;
  byId("problem").replaceChildren(...problems.map((p, i) => element("option", { value: i }, p.sample)));
  byId("problem").value = state.problem;
  byId("previous").disabled = state.problem === 0;
  byId("next").disabled = state.problem >= problems.length - 1;
  [...document.querySelectorAll(".side")].forEach((box, i) => problems.length && fill(box, state.sides[i]));
}

function step(by) {
  state.problem += by;
  reader();
}

function fill(box, side) {
  const run = setting().runs.find((r) => r.place === side.place);
  const draws = run.draws[state.problem];
  side.draw = Math.max(0, Math.min(side.draw, draws.length - 1));
  const pick = (options, value, set) => {
    const select = element("select", { onchange: () => { set(Number(select.value)); fill(box, side); } }, ...options);
    select.value = value;
    return select;
  };
  const runs = pick(setting().runs.map((r) => element("option", { value: r.place }, title(r.place))), side.place, (v) => { side.place = v; });
  const which = pick(draws.map((_, i) => element("option", { value: i }, `draw ${i + 1}`)), side.draw, (v) => { side.draw = v; });
  const body = element("div", {}, element("p", { class: "facts" }, draws.length ? "loading" : "this run has no completion of this problem"));
  box.replaceChildren(element("div", { class: "bar" }, runs, which), body);
  if (!draws.length) return;
  const key = `${side.place}/${draws[side.draw]}`;
  box.dataset.key = key;
  const still = (then) => (value) => box.dataset.key === key && then(value);
  fetchText(key, still((text) => display(body, text)), still((why) => body.replaceChildren(element("p", { class: "facts" }, why))));
}

function facts(text) {
  const right = known(text.score) && text.score >= 0.5;
  const verdict = known(text.score) ? element("b", { class: right ? "right" : "wrong" }, `score ${text.score}`) : element("b", {}, `no verdict ${text.note}`);
  const loop = known(text.loop_onset) ? `loop from token ${text.loop_onset}, period ${text.loop_period}` : "no loop";
  const budget = known(text.budget) ? `budget ${text.budget} tokens, ${text.num_evictions} evictions` : "no budget";
  const lines = [`${text.num_tokens.toLocaleString("en")} tokens after a prompt of ${text.prompt_tokens}, ended by ${text.stop}`, budget, loop, `answer ${text.answer || "none"}, target ${text.target}`];
  return element("p", { class: "facts" }, verdict, ...lines.map((line) => ` · ${line}`));
}

function display(body, text) {
  const length = text.completion.length;
  const pages = Math.max(1, Math.ceil(length / PAGE_CHARACTERS));
  let page = 0;
  const strip = element("div", { class: "strip", title: "the whole completion: grey lines are evictions, purple is the loop", onclick: (event) => turn(Math.floor(pages * event.offsetX / strip.clientWidth)) });
  const where = (place) => `${(100 * place) / Math.max(length, 1)}%`;
  const here = element("i", { class: "here" });
  if (known(text.loop_character)) strip.append(element("i", { class: "looped", style: `left:${where(text.loop_character)}` }));
  strip.append(...text.evictions.map(([, place]) => element("i", { class: "evicted", style: `left:${where(place)}` })), here);
  const [back, on] = [element("button", { onclick: () => turn(page - 1) }, "‹"), element("button", { onclick: () => turn(page + 1) }, "›")];
  const number = element("span");
  const toLoop = known(text.loop_character) ? element("button", { onclick: () => turn(Math.floor(text.loop_character / PAGE_CHARACTERS), true) }, "to the loop") : null;
  const paper = element("div", { class: "text-page" });
  const turn = (to, toOnset) => {
    page = Math.max(0, Math.min(to, pages - 1));
    const from = page * PAGE_CHARACTERS;
    paper.replaceChildren(...spans(text, from, Math.min(from + PAGE_CHARACTERS, length)));
    paper.scrollTop = 0;
    if (toOnset) { const mark = paper.querySelector(".onset"); if (mark) paper.scrollTop = mark.offsetTop - paper.offsetTop - 60; }
    number.textContent = `page ${page + 1} of ${pages}`;
    here.style.left = where(from);
    here.style.width = where(Math.min(PAGE_CHARACTERS, length - from));
    back.disabled = page === 0;
    on.disabled = page === pages - 1;
  };
  if (!length && text.num_tokens) return body.replaceChildren(facts(text), element("p", { class: "hint" }, "This completion was packed without its text."));
  body.replaceChildren(facts(text), strip, element("div", { class: "bar" }, back, number, on, toLoop), paper);
  return turn(0);
}

/* the characters from..to with a mark at each eviction and at the loop's onset */
function spans(text, from, to) {
  const cuts = text.evictions.map(([token, place], i) => ({ place, mark: element("span", { class: "evict", title: `eviction ${i + 1}, about token ${token}` }, String(i + 1)) }));
  if (known(text.loop_character)) cuts.push({ place: text.loop_character, mark: element("span", { class: "onset" }, "loop") });
  const inside = cuts.filter((cut) => cut.place >= from && cut.place < to).sort((a, b) => a.place - b.place);
  const made = [];
  let at = from;
  const say = (until) => {
    const part = text.completion.slice(at, until);
    if (part) made.push(known(text.loop_character) && at >= text.loop_character ? element("mark", {}, part) : document.createTextNode(part));
    at = until;
  };
  for (const cut of inside) { say(cut.place); made.push(cut.mark); }
  say(to);
  return made;
}

/* ---- published ---- */

function publishedTable() {
  if (!data.published.length) {
    byId("published").append(element("p", { class: "hint" }, "No task, model and method of these runs is among the published numbers."));
    return;
  }
  const header = ["task", "model", "method", "budget", "measured", "95 %", "published budget", "published", "difference, 95 %", "agree", "not comparable", "caveat"];
  const lines = data.published.map((row) => [row.task, row.model, row.method, whole(row.tokens), known(row.accuracy) ? (100 * row.accuracy).toFixed(1) : "-",
    known(row.accuracy) ? `${(100 * row.accuracy_low).toFixed(1)} to ${(100 * row.accuracy_high).toFixed(1)}` : "-", whole(row.published_tokens), row.published.toFixed(2),
    known(row.difference) ? `${row.difference.toFixed(1)} (${row.difference_low.toFixed(1)} to ${row.difference_high.toFixed(1)})` : "-",
    known(row.agrees) ? (row.agrees ? "yes" : "no") : "-", row.not_comparable || "", row.caveat]);
  const line = (tag, cells) => element("tr", {}, ...cells.map((cell, i) => element(tag, { class: (i < 3 || i === 8) && "text" }, cell)));
  byId("beside").replaceChildren(line("th", header), ...lines.map((cells) => line("td", cells)));
  byId("published").append(element("p", { class: "hint" }, [...new Set(data.published.map((row) => row.source))].join("; ")));
}

/* ---- all of it ---- */

function choose(index) {
  Object.assign(state, { setting: index, firstProblem: 0, problem: 0 });
  byId("setting").value = index;
  const last = setting().runs[setting().runs.length - 1].place;
  state.sides = [{ place: denseOf(), draw: 0 }, { place: last, draw: 0 }];
  table();
  matrix();
  reader();
  charts();
}

byId("setting").append(...data.settings.map((s, i) => element("option", { value: i }, s.title)));
byId("setting").addEventListener("change", (event) => choose(Number(event.target.value)));
byId("search").addEventListener("input", table);
byId("all").addEventListener("change", table);
byId("split").addEventListener("change", matrix);
byId("earlier").addEventListener("click", () => { state.firstProblem -= PAGE_PROBLEMS; matrix(); });
byId("later").addEventListener("click", () => { state.firstProblem += PAGE_PROBLEMS; matrix(); });
byId("cells").addEventListener("mouseover", describeCell);
byId("cells").addEventListener("click", readCell);
byId("problem").addEventListener("change", (event) => { state.problem = Number(event.target.value); reader(); });
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
summary();
head();
figureList();
publishedTable();
choose(0);
requestAnimationFrame(() => setTimeout(() => performance.mark("drawn")));
