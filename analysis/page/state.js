"use strict";
/* what is shown, and the runs by their places */

const PAGE_PROBLEMS = 200;
const state = { setting: 0, sort: null, descending: true, firstProblem: 0, problem: 0, sides: [], hidden: new Set() };
const setting = () => data.settings[state.setting];
const rowOf = new Map(data.rows.map((row) => [row.place, row]));
/* runs stand in the order of the table everywhere */
const rank = new Map(data.rows.map(({ place }, i) => [place, i]));
for (const { runs } of data.settings) runs.sort((a, b) => rank.get(a.place) - rank.get(b.place));

const runOf = new Map(data.settings.flatMap((each) => each.runs.map((run) => [run.place, run])));
const settingOf = new Map(data.settings.flatMap((each, i) => each.runs.map((run) => [run.place, i])));
const isDense = (place) => rowOf.get(place).method === data.dense;

/* two runs of one method and ratio are told apart by their folder */
const titles = new Map(data.settings.flatMap(({ runs }) => {
  const times = new Map();
  for (const { place } of runs) times.set(name(rowOf.get(place)), (times.get(name(rowOf.get(place))) || 0) + 1);
  return runs.map(({ place }) => {
    const row = rowOf.get(place);
    return [place, times.get(name(row)) > 1 ? `${name(row)} · ${row.run.split("/").pop()}` : name(row)];
  });
}));
const title = (place) => titles.get(place);

/* two settings of one task are told apart by their model */
const tasks = data.settings.map(({ runs }) => taskOf(rowOf.get(runs[0].place)));
const taskNames = tasks.map((task, i) => (tasks.indexOf(task) === tasks.lastIndexOf(task) ? task : data.settings[i].title));

function denseOf(index) {
  const { runs } = data.settings[index];
  return (runs.find((run) => isDense(run.place)) || runs[0]).place;
}
