"use strict";
/* the address of a completion, and the completion of an address */

function address(place, problem, draw = 0) {
  const index = settingOf.get(place);
  if (!data.settings[index].problems.length) return "#reader"; // a run that has only begun, and is alone
  const found = runOf.get(place).draws[problem][draw];
  return written(taskNames[index], data.settings[index].problems[problem].sample, (found ? found[0] : 0) + 1, title(place));
}

/* { place, problem, draw }; or { wrong } where there is no such completion */
function addressed({ task, sample, draw, method }) {
  const index = [taskNames, data.settings.map((each) => each.title), data.settings.map(({ runs }) => rowOf.get(runs[0].place).task)]
    .map((names) => names.indexOf(task)).find((i) => i >= 0);
  if (index === undefined) return { wrong: `There is no task ${task} in this report.` };
  const place = placeOf(index, method);
  if (place === undefined) return { wrong: `There is no run of ${method} on ${task} in this report.` };
  const { draws } = runOf.get(place);
  const named = data.settings[index].problems.flatMap((each, i) => (each.sample === sample ? [i] : []));
  if (!named.length) return { wrong: `There is no sample ${sample} of ${task} in this report.` };
  const at = (i) => draws[i].findIndex(([number]) => number + 1 === draw);
  const problem = named.find((i) => at(i) >= 0);
  return known(problem) ? { place, problem, draw: at(problem) } : { wrong: `${title(place)} has no draw ${draw} of ${sample}.` };
}

function placeOf(index, method) {
  const { runs } = data.settings[index];
  if (!method) return runs[runs.length - 1].place;
  const tests = [({ place }) => title(place) === method, ({ place }) => name(rowOf.get(place)) === method, ({ place }) => rowOf.get(place).method === method];
  return tests.map((test) => runs.find(test)).filter(Boolean).map((run) => run.place)[0];
}

function follow() {
  const asked = parts(location.hash);
  if (!asked) return;
  const { wrong, problem, place, draw } = addressed(asked);
  if (!wrong) read(problem, place, draw);
  arrive(wrong);
}
