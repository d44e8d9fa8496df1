"use strict";
/* problems across, runs down: what came of each */

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
  const lines = setting().runs.map((run) => element("tr", {},
    element("th", { scope: "row", title: rowOf.get(run.place).run }, marker(rowOf.get(run.place).method), title(run.place)),
    ...page.map((problem) => matrixCell(run, problem))));
  byId("cells").classList.toggle("few", page.length <= 40);
  byId("cells").replaceChildren(...lines);
  const first = byId("cells").querySelector("a");
  if (first) first.tabIndex = 0;
}

function matrixCell(run, problem) {
  const score = run.scores[problem];
  const kind = known(score) ? `s${Math.round(10 * score)}` : "none";
  const looping = run.loops[problem] ? `, loops ${percent(run.loops[problem])}` : "";
  const said = `${title(run.place)}, ${setting().problems[problem].sample}: ${known(score) ? write(score, 2) : "no verdict"}${looping}`;
  const link = element("a", { class: kind + (looping ? " loop" : ""), href: address(run.place, problem, run.first_loops[problem]), tabindex: -1, "aria-label": said });
  return element("td", {}, link);
}

function turnProblems(by) {
  state.firstProblem += by * PAGE_PROBLEMS;
  matrix();
}

byId("cells").addEventListener("mouseover", ({ target: link }) => {
  if (link.tagName === "A") link.title = link.getAttribute("aria-label");
});
