"use strict";
/* one completion, a page at a time: its marks, what differs, what was found */

const PAGE_CHARACTERS = 4000;

/* evictions, the loop's onset, and where it leaves the text beside it */
function marksOf(side) {
  const { text, leaves } = side;
  const marks = text.evictions.map(([token, place], i) => ({ place, kind: "evict", says: String(i + 1), tip: `eviction ${i + 1}, about token ${token}` }));
  if (known(text.loop_character)) marks.push({ place: text.loop_character, kind: "onset", says: "loop", tip: `a loop begins, token ${text.loop_onset}` });
  if (known(leaves)) marks.push({ place: leaves, kind: "leaves", says: "differs", tip: "the first place where the two texts differ" });
  return marks;
}

function rangesOf(side) {
  const { text, leaves, differs = [], hits = [], hit } = side;
  const loop = known(text.loop_character) ? [{ from: text.loop_character, to: text.completion.length, kind: "looped" }] : [];
  const end = known(leaves) ? text.completion.slice(leaves).search(/(?<=\S)\s|$/) : 0;
  const first = known(leaves) ? [{ from: leaves, to: leaves + end, kind: "first" }] : [];
  return [...loop, ...first, ...differs.map((range) => ({ ...range, kind: "differs" })), ...hits.map((range) => ({ ...range, kind: range === hit ? "hit now" : "hit" }))];
}

/* the characters from..to, with marks between them and ranges around them */
function spans(side, from, to) {
  const marks = marksOf(side).filter(({ place }) => place >= from && (place < to || place === side.text.completion.length));
  const ranges = rangesOf(side).filter((range) => range.from < to && range.to > from);
  const edges = new Set([from, to, ...marks.map(({ place }) => place), ...ranges.flatMap((range) => [range.from, range.to])]);
  const cuts = [...edges].filter((place) => place >= from && place <= to).sort((a, b) => a - b);
  return cuts.flatMap((at, i) => {
    const here = marks.filter(({ place }) => place === at).map(({ kind, says, tip }) => element("span", { class: kind, title: tip, "data-at": at }, says));
    const part = side.text.completion.slice(at, cuts[i + 1] ?? at);
    const kinds = ranges.filter((range) => range.from <= at && range.to >= cuts[i + 1]).map(({ kind }) => kind);
    return [...here, kinds.length ? element("mark", { class: kinds.join(" "), "data-at": at }, part) : document.createTextNode(part)];
  });
}

function strip(side, turn) {
  const { text } = side;
  const where = (place) => `${(100 * place) / Math.max(text.completion.length, 1)}%`;
  const here = element("i", { class: "here" });
  const bar = element("div", { class: "strip", title: "the whole completion: grey lines are evictions, purple is the loop, orange where it leaves the other", onclick: (event) => turn(Math.floor(text.completion.length * event.offsetX / bar.clientWidth)) });
  if (known(text.loop_character)) bar.append(element("i", { class: "looped", style: `left:${where(text.loop_character)}` }));
  bar.append(...text.evictions.map(([, place]) => element("i", { class: "evicted", style: `left:${where(place)}` })));
  if (known(side.leaves)) bar.append(element("i", { class: "left", style: `left:${where(side.leaves)}` }));
  bar.append(here);
  bar.show = (from, length) => { here.style.left = where(from); here.style.width = where(length); };
  return bar;
}

/* fill the body of a side; side.turn(character) turns to its page, and scrolls to it if asked to */
function display(side) {
  const { body, text } = side;
  const length = text.completion.length;
  if (!length && text.num_tokens) return body.replaceChildren(facts(side), element("p", { class: "hint" }, "This completion was packed without its text."));
  const pages = Math.max(1, Math.ceil(length / PAGE_CHARACTERS));
  const [back, on] = [[-1, "‹", "earlier page"], [1, "›", "later page"]].map(([by, sign, label]) => element("button", { "aria-label": label, onclick: () => side.turn((side.page + by) * PAGE_CHARACTERS) }, sign));
  const jump = (place, label) => (known(place) ? element("button", { onclick: () => side.turn(place, true) }, label) : null);
  const number = element("span");
  const paper = element("div", { class: "text-page", tabindex: 0, role: "region", "aria-label": `completion of ${title(side.place)}` });
  const bar = strip(side, (place) => side.turn(place));
  side.turn = (place, scroll) => {
    side.page = Math.max(0, Math.min(Math.floor(place / PAGE_CHARACTERS), pages - 1));
    const from = side.page * PAGE_CHARACTERS;
    const to = Math.min(from + PAGE_CHARACTERS, length);
    paper.replaceChildren(...spans(side, from, to));
    const at = scroll && paper.querySelector(`[data-at="${place}"]`);
    paper.scrollTop = at ? at.offsetTop - paper.offsetTop - 60 : 0;
    number.textContent = `page ${side.page + 1} of ${pages}`;
    bar.show(from, to - from);
    [back.disabled, on.disabled] = [side.page === 0, side.page === pages - 1];
  };
  const jumps = [jump(side.leaves, "to the first difference"), jump(text.loop_character, "to the loop")];
  body.replaceChildren(facts(side), bar, element("div", { class: "bar" }, back, number, on, ...jumps), paper);
  return side.turn((side.page || 0) * PAGE_CHARACTERS);
}

function facts({ text, place }) {
  const right = known(text.score) && text.score >= 0.5;
  const verdict = known(text.score) ? element("b", { class: right ? "right" : "wrong" }, `score ${text.score}`) : element("b", {}, `no verdict ${text.note}`);
  const loop = known(text.loop_onset) ? `loop from token ${text.loop_onset}, period ${text.loop_period}` : "no loop";
  const budget = known(text.budget) ? `budget ${text.budget} tokens, ${text.num_evictions} evictions` : "no budget";
  const lines = [`${text.num_tokens.toLocaleString("en")} tokens after a prompt of ${text.prompt_tokens}, ended by ${text.stop}`, budget, loop];
  if (known(text.leaves) && !isDense(place)) lines.push(text.leaves < 0 ? "the same tokens as dense" : `leaves dense at token ${text.leaves}`);
  lines.push(`answer ${text.answer || "none"}, target ${text.target}`);
  return element("p", { class: "facts" }, verdict, ...lines.map((said) => ` · ${said}`));
}
