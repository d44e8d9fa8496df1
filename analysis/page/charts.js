"use strict";
/* the charts, drawn when they come into view, and the chips that hide methods in them */

/* the library is large: it is run when a chart first comes into view */
function library() {
  if (window.Plotly) return;
  const script = element("script");
  script.textContent = byId("plotly").textContent;
  document.head.append(script);
}

const order = [data.dense, ...methods];
const ink = (method) => (data.looks[method] ? look(method).colour : colour("--ink"));

const marked = (row) => Object.keys(data.marks).filter((sign) => row.mark.includes(sign));
const whyFaint = (row) => marked(row).map((sign) => `<br>${sign} ${data.marks[sign]}`).join("");
const FAINT = 0.3;

/* a point or line a method, and faint what does not stand beside the others; `hover` says what a row's point is */
function traces(rows, x, y, key, mode, hover) {
  const range = (row) => (known(row[`${key}_low`]) ? ` [${write(row[`${key}_low`])}, ${write(row[`${key}_high`])}]` : "");
  const says = (row) => `<b>${name(row)}</b><br>${y} ${write(row[key])}${range(row)}<br>${hover(row)}${whyFaint(row)}`;
  const drawn = (method, line, more) => {
    const bounds = line.map((row) => [row[`${key}_high`] - row[key], row[key] - row[`${key}_low`]]);
    const spread = { type: "data", symmetric: false, thickness: 1, width: 2, array: bounds.map(([up]) => up), arrayminus: bounds.map(([, down]) => down) };
    return trace(method, line.map(x), line.map((row) => row[key]), line.map(says), { error_y: spread, line: { color: ink(method), width: 1.5 }, ...more }, 8);
  };
  return order.flatMap((method) => {
    const line = rows.filter((row) => row.method === method && known(x(row)) && known(row[key])).sort((a, b) => x(a) - x(b));
    return [drawn(method, line.filter((row) => !row.mark), { mode }), drawn(method, line.filter((row) => row.mark), { mode: "markers", opacity: FAINT })];
  }).filter((found) => found.x.length);
}

function trace(method, x, y, text, more, size) {
  return { name: method, x, y, text, hovertemplate: "%{text}<extra></extra>", marker: { color: ink(method), symbol: look(method).symbol, size }, ...more };
}

function onsetTraces(rows) {
  const says = ([evictions, onset, row]) => `<b>${name(row)}</b><br>a loop from token ${whole(onset)}<br>after ${evictions} evictions${whyFaint(row)}`;
  const drawn = (method, points, opacity) => trace(method, points.map((p) => p[0]), points.map((p) => p[1]), points.map(says), { mode: "markers", opacity }, 8);
  return methods.flatMap((method) => {
    const points = rows.filter((row) => row.method === method).flatMap((row) => data.onsets[row.place].map(([evictions, onset]) => [evictions, onset, row]));
    return [drawn(method, points.filter(([, , row]) => !row.mark), 0.7), drawn(method, points.filter(([, , row]) => row.mark), FAINT)];
  }).filter((found) => found.x.length);
}

function legend() {
  const used = new Set(setting().runs.map((run) => rowOf.get(run.place).method));
  const chips = order.filter((method) => used.has(method)).map((method) => {
    const chip = element("button", { class: "chip", "aria-pressed": !state.hidden.has(method), onclick: () => {
      if (!state.hidden.delete(method)) state.hidden.add(method);
      chip.setAttribute("aria-pressed", !state.hidden.has(method));
      plots();
    } }, marker(method), method);
    return chip;
  });
  byId("legend").replaceChildren(...chips);
}

const coming = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target: box } of entries) {
    if (!isIntersecting) continue;
    coming.unobserve(box);
    library();
    box.draw();
  }
});

/* the charts of the setting: title, traces, axes */
function chartsOf(rows) {
  const ratio = { title: { text: "compression ratio" }, type: "log", tickvals: [...new Set(rows.map((row) => row.ratio))], ticktext: [...new Set(rows.map((row) => `${short(row.ratio)}x`))] };
  const compressed = methods.filter((method) => rows.some((row) => row.method === method));
  const beside = (row) => row.ratio * 2 ** (row.method === data.dense ? 0 : 0.3 * ((compressed.indexOf(row.method) + 0.5) / compressed.length - 0.5)); // so that bars can be read
  const cache = (row) => (known(row.resident_bytes) ? row.resident_bytes / 1e6 : null);
  const budget = (row) => (known(row.tokens) ? `budget ${whole(row.tokens)} tokens` : "no budget");
  const share = (text) => ({ title: { text }, range: [-0.03, 1.05] });
  const axis = (text) => ({ title: { text } });
  return [
    ["Accuracy by compression ratio", traces(rows, beside, "pass@1", "accuracy", "lines+markers", budget), ratio, share("pass@1")],
    ["Accuracy by cache", traces(rows, cache, "pass@1", "accuracy", "markers", (row) => `${megabytes(row.resident_bytes)} MB, ${budget(row)}`), axis("cache of the largest row (MB)"), share("pass@1")],
    ["Accuracy by bytes of the budget", traces(rows, (row) => row.bytes_share, "pass@1", "accuracy", "lines+markers", (row) => `${percent(row.bytes_share)} of dense's bytes, ${budget(row)}`), { ...axis("share of the dense cache's bytes"), type: "log" }, share("pass@1")],
    ["Loops by compression ratio", traces(rows, beside, "loop rate", "loop_rate", "lines+markers", budget), ratio, share("loop rate")],
    ["Accuracy by speed", traces(rows, (row) => row.tokens_per_s, "pass@1", "accuracy", "markers", (row) => `${whole(row.tokens_per_s)} tokens/s${row.device ? ` on ${row.device}` : ""}, ${budget(row)}`), axis("tokens/s of a worker"), share("pass@1")],
    ["Where loops begin", onsetTraces(rows), axis("evictions before the loop"), axis("loop onset (token)")],
  ].filter(([, lines]) => lines.length);
}

/* nothing that leaves the page: no logo, no sharing, no server */
const CONFIG = { displaylogo: false, responsive: true, showSendToCloud: false, plotlyServerURL: "", modeBarButtons: [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]] };

const narrow = matchMedia("(max-width: 600px)"); // there the buttons would stand on the title

function plots() {
  coming.disconnect();
  const rows = setting().runs.map((run) => rowOf.get(run.place)).filter((row) => !state.hidden.has(row.method));
  byId("faint").hidden = !rows.some((row) => row.mark);
  byId("plots").replaceChildren(...chartsOf(rows).map(([heading, lines, xaxis, yaxis]) => {
    const box = element("figure", { class: "plot", "aria-label": heading });
    const paper = colour("--paper");
    const ruled = (axis) => ({ ...axis, gridcolor: colour("--line"), zerolinecolor: colour("--line"), title: { ...axis.title, standoff: 6 } });
    const layout = {
      title: { text: heading, font: { size: 14 }, x: 0.02, xanchor: "left" }, margin: { l: 55, r: 15, t: 40, b: 45 }, xaxis: ruled(xaxis), yaxis: ruled(yaxis),
      font: { size: 12, color: colour("--ink"), family: "inherit" }, paper_bgcolor: paper, plot_bgcolor: paper, showlegend: false, hovermode: "closest", hoverlabel: { align: "left" },
    };
    box.draw = () => Plotly.newPlot(box, lines, layout, { ...CONFIG, displayModeBar: narrow.matches ? false : "hover" });
    coming.observe(box);
    return box;
  }));
}

function charts() {
  legend();
  plots();
}

document.addEventListener("theme", plots);
