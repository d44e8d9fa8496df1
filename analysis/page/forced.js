"use strict";
/* a text that was forced: its tokens coloured by their KL */

/* how far attention is off before a token, as its method says: words, and a bar below it, 8 pixels high where it is off by all of its output */
function stated(error) {
  return error ? [`, attention off by ${percent(error)}, as stated`, `; border-bottom: ${Math.min(8, 8 * error).toFixed(1)}px solid var(--blue)`] : ["", ""];
}

function tokens(text) {
  const [other, evicted] = [new Set(text.other), new Map(text.evictions.map((token, i) => [token, i + 1]))];
  return text.pieces.flatMap((piece, i) => {
    const depth = Math.min(1, Math.max(0, (Math.log10(text.kl[i] + 1e-9) + 4) / 5));
    const [says, bar] = stated(text.error[i]);
    const token = element("span", { class: other.has(i) ? "drifted other" : "drifted", title: `token ${i}: ${text.kl[i]} nats${says}`, style: `background: rgba(213, 94, 0, ${(depth * 0.7).toFixed(2)})${bar}` }, piece);
    return evicted.has(i) ? [element("span", { class: "evict", title: `eviction ${evicted.get(i)}, before token ${i}` }, String(evicted.get(i))), token] : [token];
  });
}

const spansOf = () => [...byId("paper").querySelectorAll(".drifted")];

function showToken(i) {
  const span = spansOf()[i];
  if (!span) return;
  byId("paper").scrollTop = span.offsetTop - byId("paper").offsetTop - 60;
  span.animate([{ outline: "3px solid var(--ink)" }, { outline: "3px solid transparent" }], 1500);
}

function showText(text) {
  showQuestion(text.question, text.target);
  byId("paper").replaceChildren(...(text.pieces.length ? tokens(text) : ["This text was packed without its tokens."]));
  byId("paper").scrollTop = 0;
  const mean = text.kl.reduce((sum, kl) => sum + kl, 0) / Math.max(1, text.kl.length);
  const first = text.other.length ? `, the first is token ${text.other[0]}` : "";
  const off = text.error.length ? `, attention off by ${percent(text.error.reduce((sum, error) => sum + error, 0) / text.error.length)} on average, as its method states (bars)` : "";
  byId("facts").textContent = `${text.kl.length} tokens, mean KL ${short(mean)} nats, another top token at ${text.other.length}${first}, ${text.evictions.length} evictions${off}`;
  byId("first").disabled = !text.other.length || !text.pieces.length;
  byId("worst").disabled = !text.pieces.length;
}

/* words that are searched, across tokens */
const finder = { hits: [], now: -1 };

function find(text) {
  const starts = [];
  let whole = "";
  for (const piece of text.pieces) { starts.push(whole.length); whole += piece; }
  finder.hits = occurrences(whole, byId("find").value).map(({ from, to }) => starts.flatMap((start, i) => (start < to && start + text.pieces[i].length > from ? [i] : [])));
  finder.now = -1;
  const all = spansOf();
  for (const span of all) span.classList.remove("hit", "now");
  for (const i of finder.hits.flat()) all[i].classList.add("hit");
  byId("found").textContent = byId("find").value ? `${finder.hits.length} found` : "";
  for (const id of ["find-previous", "find-next"]) byId(id).disabled = !finder.hits.length;
}

function nextHit(by) {
  if (!finder.hits.length) return;
  const all = spansOf();
  for (const span of all) span.classList.remove("now");
  finder.now = around(finder.now, by, finder.hits.length);
  for (const i of finder.hits[finder.now]) all[i].classList.add("now");
  showToken(finder.hits[finder.now][0]);
}
