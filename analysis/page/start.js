"use strict";
/* all of it */

function choose(index) {
  Object.assign(state, { setting: index, firstProblem: 0, problem: 0 });
  byId("setting").value = index;
  const { runs } = setting();
  state.sides = [{ place: denseOf(index), draw: 0 }, { place: runs[runs.length - 1].place, draw: 0 }];
  table();
  matrix();
  reader();
  charts();
}

byId("setting").append(...data.settings.map((each, i) => element("option", { value: i }, each.title)));
byId("setting").addEventListener("change", (event) => { choose(Number(event.target.value)); moved(); });
byId("search").addEventListener("input", table);
byId("all").addEventListener("change", table);
byId("split").addEventListener("change", matrix);
byId("earlier").addEventListener("click", () => turnProblems(-1));
byId("later").addEventListener("click", () => turnProblems(1));
byId("problem").addEventListener("change", (event) => { state.problem = Number(event.target.value); moved(); });
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
grid(byId("table"));
oneTabStop(byId("cells"));
columnChooser(table);
summary();
figureList(data.figures.map((figure) => [`figures/${figure}`, `${figure}.svg`]));
byId("missing").append(...Object.entries(data.missing).map(([figure, why]) => element("li", {}, `${figure} is not drawn: ${why}`)));
publishedTable();
choose(0);
followed(follow);
follow();
requestAnimationFrame(() => setTimeout(() => performance.mark("drawn")));
