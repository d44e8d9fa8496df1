"use strict";
/* the columns of the table: what each shows, sorts by, and which problem its cells open; and which are chosen */

const dagger = (row, key) => (row[`${key}_low`] > 0 || row[`${key}_high`] < 0 ? "†" : "");

function interval(row) {
  const bar = element("span", { class: "interval", title: `95 % interval ${write(row.accuracy_low)} to ${write(row.accuracy_high)}` });
  bar.append(element("i", { style: `left:${100 * row.accuracy_low}%;width:${100 * (row.accuracy_high - row.accuracy_low)}%` }));
  bar.append(element("b", { style: `left:calc(${100 * row.accuracy}% - 1px)` }));
  return bar;
}

function difference(row, key) {
  if (!known(row[key])) return "-";
  const tip = `${row.common} problems in common; 95 % interval ${write(row[`${key}_low`])} to ${write(row[`${key}_high`])}; p ${write(row[`${key}_p`])}, after Holm ${write(row[`${key}_p_holm`])}`;
  return element("span", { title: tip }, signed(row[key]) + dagger(row, key));
}

/* the problem where a run has the most of something */
function most(row, measure) {
  const run = runOf.get(row.place);
  const dense = runOf.get(denseOf(settingOf.get(row.place)));
  let [found, highest] = [0, -Infinity];
  run.draws.forEach((draws, i) => {
    const value = draws.length ? measure(run, i, dense) : -Infinity;
    if (value > highest) [found, highest] = [i, value];
  });
  return found;
}
const lost = (run, i, dense) => (known(dense.scores[i]) ? dense.scores[i] : 0) - (known(run.scores[i]) ? run.scores[i] : 1);
const looped = (run, i) => run.loops[i] || 0;
const any = () => 0;

const columns = [
  { label: "task", value: taskOf, text: true, many: true },
  { label: "model", value: (row) => row.model, text: true, many: true },
  { label: "method", value: (row) => row.method, show: (row) => element("span", { class: "named" }, marker(row.method), row.method), text: true },
  { label: "ratio", value: (row) => row.ratio, show: (row) => `${short(row.ratio)}x` },
  { label: "budget", value: (row) => row.tokens, show: (row) => whole(row.tokens) },
  { label: "accuracy", value: (row) => row.accuracy, show: (row) => (known(row.accuracy) ? element("span", {}, write(row.accuracy), interval(row)) : "-"), opens: lost },
  { label: "vs dense", value: (row) => row.gain, show: (row) => difference(row, "gain"), opens: lost },
  { label: "loops", value: (row) => row.loop_rate, show: (row) => percent(row.loop_rate), opens: looped },
  { label: "loops vs dense", value: (row) => row.loop_gain, show: (row) => difference(row, "loop_gain"), opens: looped, apart: true },
  { label: "truncated", value: (row) => row.truncation_rate, show: (row) => percent(row.truncation_rate) },
  { label: "length", value: (row) => row.mean_length, show: (row) => whole(row.mean_length) },
  { label: "note", value: remarks, text: true, wraps: true },
  { label: "peak slots", value: (row) => row.peak_slots, show: (row) => whole(row.peak_slots) },
  { label: "read", value: (row) => row.tokens_read, show: (row) => whole(row.tokens_read), apart: true },
  { label: "evictions", value: (row) => row.evictions, show: (row) => write(row.evictions, 1) },
  { label: "cache MB", value: (row) => row.resident_bytes, show: (row) => megabytes(row.resident_bytes) },
  { label: "of dense's bytes", value: (row) => row.bytes_share, show: (row) => percent(row.bytes_share), apart: true },
  { label: "tok/s", value: (row) => row.tokens_per_s, show: (row) => whole(row.tokens_per_s) },
  { label: "tok/s, equal memory", value: (row) => row.tokens_per_s_equal_memory, show: (row) => whole(row.tokens_per_s_equal_memory), apart: true },
];

const chosen = remembered("columns") || Object.fromEntries(columns.map(({ label, apart }) => [label, !apart]));
const visible = () => columns.filter(({ label, many }) => chosen[label] !== false && (!many || byId("all").checked));

function columnChooser(changed) {
  byId("columns").append(...columns.map(({ label }) => {
    const box = element("input", { type: "checkbox", onchange: () => { chosen[label] = box.checked; remember("columns", chosen); changed(); } });
    box.checked = chosen[label] !== false;
    return element("label", {}, box, ` ${label}`);
  }));
}
