"use strict";
/* the colour and marker of a method, the same as in the figures */

const methods = Object.keys(data.looks);
const look = (method) => data.looks[method] || { colour: "var(--ink)", symbol: "star" };

const SHAPES = {
  circle: "M6 1a5 5 0 1 0 .001 0z",
  square: "M1.5 1.5h9v9h-9z",
  diamond: "M6 0l6 6-6 6-6-6z",
  "triangle-up": "M6 .8l5.6 10.2h-11.2z",
  "triangle-down": "M6 11.2l5.6-10.2h-11.2z",
  "triangle-left": "M.8 6l10.2-5.6v11.2z",
  cross: "M4 0h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
  x: "M0 2.4l2.4-2.4 3.6 3.6 3.6-3.6 2.4 2.4-3.6 3.6 3.6 3.6-2.4 2.4-3.6-3.6-3.6 3.6-2.4-2.4 3.6-3.6z",
  star: "M6 0l1.6 4h4.2l-3.4 2.6 1.3 4.2-3.7-2.6-3.7 2.6 1.3-4.2-3.4-2.6h4.2z",
};

function marker(method) {
  const { colour, symbol } = look(method);
  const [shape, open] = symbol.split(/-(?=open$)/);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "-1 -1 14 14");
  svg.setAttribute("class", "marker");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[shape]);
  path.setAttribute("style", `fill: ${open ? "var(--paper)" : colour}; stroke: ${colour}`);
  svg.append(path);
  return svg;
}
