"use strict";
/* how much there is, and what to know before trusting it */

function summary() {
  const completions = data.settings.flatMap((each) => each.runs.flatMap((run) => run.draws)).reduce((n, draws) => n + draws.length, 0);
  const unfinished = data.rows.filter((row) => !row.complete);
  const compressed = new Set(data.rows.map((row) => row.method).filter((method) => method !== data.dense));
  const tiles = [
    [data.rows.length, "runs"], [completions.toLocaleString("en"), "completions"],
    [data.settings.length, "tasks x models"], [compressed.size, "compressed methods"], [unfinished.length, "unfinished runs"],
  ];
  byId("tiles").append(...tiles.map(([n, text]) => element("div", { class: "tile" }, element("b", {}, String(n)), element("span", {}, text))));
  const noted = data.rows.filter((row) => /incomplete|no dense|in common|never evicted/.test(row.note) || row.ungraded);
  const lines = noted.slice(0, 8).map((row) => `${name(row)} on ${taskOf(row)}: ${remarks(row)}`);
  if (noted.length > 8) lines.push(`and ${noted.length - 8} more, see the notes of the table`);
  byId("warnings").append(...lines.map((line) => element("li", {}, line)));
  byId("warnings").hidden = !lines.length;
}

function remarks(row) {
  const errors = row.error_rate ? `errors ${percent(row.error_rate)}` : "";
  return [row.note, errors, row.ungraded ? `ungraded ${row.ungraded}` : ""].filter(Boolean).join("; ");
}
