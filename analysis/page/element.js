"use strict";
/* elements, and numbers as they are written */

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const known = (value) => value !== null && value !== undefined;
const short = (value) => (known(value) ? Number(value.toPrecision(3)).toString() : "-");
const write = (value, digits = 3) => (known(value) ? value.toFixed(digits) : "-");
const percent = (value) => (known(value) ? `${(100 * value).toFixed(1)}%` : "-");
const whole = (value) => (known(value) ? Math.round(value).toLocaleString("en") : "-");
const signed = (value) => (value < 0 ? "" : "+") + value.toFixed(3);
const megabytes = (value) => (known(value) ? short(value / 1e6) : "-");

/* the names of a row: its task, and its method at its ratio */
const taskOf = (row) => (row.difficulty ? `${row.task} (${row.difficulty})` : row.task);
const name = (row) => `${row.method}${row.method === data.dense ? "" : ` ${short(row.ratio)}x`}`;
