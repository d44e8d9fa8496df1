"use strict";
/* the reader: what was asked, and a completion beside another, dense unless another is chosen */

function read(problem, place, draw = 0) {
  if (settingOf.get(place) !== state.setting) choose(settingOf.get(place));
  state.problem = problem;
  const dense = denseOf(state.setting);
  const number = (runOf.get(place).draws[problem][draw] || [0])[0];
  const beside = runOf.get(dense).draws[problem].findIndex(([n]) => n === number);
  state.sides = [{ place: dense, draw: Math.max(beside, 0) }, { place, draw }];
  reader();
}

function reader() {
  const problems = setting().problems;
  byId("problem").replaceChildren(...problems.map((each, i) => element("option", { value: i }, each.sample)));
  byId("problem").value = state.problem;
  byId("previous").disabled = state.problem === 0;
  byId("next").disabled = state.problem >= problems.length - 1;
  byId("question").replaceChildren();
  if (!problems.length) return;
  question(problems[state.problem]);
  state.sides.forEach(fill);
}

function question({ question: key, target }) {
  const asked = setting().problems[state.problem];
  const show = (text) => setting().problems[state.problem] === asked && showQuestion(text, target);
  if (known(key)) textOf(key).then(show, (why) => show(why.message));
  else show(null);
}

function step(by) {
  state.problem += by;
  moved();
}

/* after a choice in the reader: show it, and make it the address of the page */
function moved() {
  reader();
  const { place, draw } = state.sides[1];
  if (setting().problems.length) history.replaceState(null, "", address(place, state.problem, draw));
}

function select(label, options, value, set) {
  const made = element("select", { "aria-label": label, onchange: () => { set(Number(made.value)); moved(); } }, ...options);
  made.value = value;
  return made;
}

function fill(side, i) {
  const run = runOf.get(side.place);
  const draws = run.draws[state.problem];
  const which = ["left", "right"][i];
  side.draw = Math.max(0, Math.min(side.draw, draws.length - 1));
  const runs = select(`Run on the ${which}`, setting().runs.map(({ place }) => element("option", { value: place }, title(place))), side.place, (value) => { side.place = value; });
  const numbers = select(`Draw on the ${which}`, draws.map(([number], at) => element("option", { value: at }, `draw ${number + 1}`)), side.draw, (value) => { side.draw = value; });
  numbers.disabled = draws.length < 2;
  Object.assign(side, { body: element("div"), text: null, turn: null, page: 0 });
  const link = draws.length ? element("a", { href: address(side.place, state.problem, side.draw) }, "address") : null;
  document.querySelectorAll(".side")[i].replaceChildren(element("div", { class: "bar" }, marker(rowOf.get(side.place).method), runs, numbers, link), side.body);
  const say = (what) => side.body.replaceChildren(element("p", { class: "facts" }, what));
  if (!draws.length) return say("this run has no completion of this problem");
  say("loading");
  const { body } = side;
  const still = () => side.body === body;
  return textOf(draws[side.draw][1]).then((text) => { if (still()) { side.text = text; both(); } }, (why) => still() && say(why.message));
}

/* once a text is there: where the two differ is known when both are */
function both() {
  const [left, right] = state.sides;
  if (left.text && right.text) {
    const { start, ranges } = differences(left.text.completion, right.text.completion);
    [left, right].forEach((side, i) => Object.assign(side, { leaves: start, differs: ranges[i] }));
  }
  search();
  for (const side of state.sides) if (side.text) display(side);
}
