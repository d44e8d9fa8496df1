"use strict";
/* where two texts differ, by words: Myers' shortest edit script behind their common beginning */

const LONGEST_WORD = 20; // characters
const MOST_EDITS = 1500; // texts that are further apart than so many words differ in all that follows

/* where the first word that differs begins, or null; and [from, to) of what only one has, for each of the two */
function differences(a, b) {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at += 1;
  if (at === a.length && at === b.length) return { start: null, ranges: [[], []] };
  const word = wordAt(a, b, at);
  const sides = [a, b].map((text) => [...text.slice(word).matchAll(/\S+/g)].map((found) => ({ text: found[0], from: word + found.index, to: word + found.index + found[0].length })));
  const common = matched(...sides);
  if (!common) return { start: word, ranges: [a, b].map((text) => [{ from: word, to: text.length }]) };
  return { start: word, ranges: sides.map((words, side) => joined(words, common[side], [a, b][side])) };
}

/* where the word begins in which two texts differ at a place, unless that is far in front of it */
function wordAt(a, b, at) {
  if (![a[at], b[at]].some((sign) => sign && /\S/.test(sign))) return at; // one goes on where the other's word ends too
  const word = at - a.slice(0, at).match(/\S*$/)[0].length;
  return at - word > LONGEST_WORD ? at : word;
}

/* words that the other does not have, those beside each other in one */
function joined(words, common, text) {
  const ranges = [];
  words.forEach((word, i) => {
    if (common.has(i)) return;
    const last = ranges[ranges.length - 1];
    if (last && i && !common.has(i - 1) && text.slice(last.to, word.from).length < 3) last.to = word.to;
    else ranges.push({ from: word.from, to: word.to });
  });
  return ranges;
}

/* which words of each are common; null where more than MOST_EDITS are not */
function matched(a, b) {
  const [n, m] = [a.length, b.length];
  const most = Math.min(n + m, MOST_EDITS);
  const furthest = new Int32Array(2 * most + 3);
  const middle = most + 1;
  const steps = [];
  for (let edits = 0; edits <= most; edits += 1) {
    steps.push(furthest.slice(middle - edits - 1, middle + edits + 2));
    for (let k = -edits; k <= edits; k += 2) {
      const down = k === -edits || (k !== edits && furthest[middle + k - 1] < furthest[middle + k + 1]);
      let x = down ? furthest[middle + k + 1] : furthest[middle + k - 1] + 1;
      while (x < n && x - k < m && a[x].text === b[x - k].text) x += 1;
      furthest[middle + k] = x;
      if (x >= n && x - k >= m) return backwards(steps, n, m);
    }
  }
  return null;
}

function backwards(steps, n, m) {
  const common = [new Set(), new Set()];
  let [x, y] = [n, m];
  for (let edits = steps.length - 1; edits >= 0; edits -= 1) {
    const before = (k) => steps[edits][k + edits + 1];
    const k = x - y;
    const down = k === -edits || (k !== edits && before(k - 1) < before(k + 1));
    const fromX = edits ? before(down ? k + 1 : k - 1) : 0;
    const fromY = edits ? fromX - (down ? k + 1 : k - 1) : 0;
    const startX = edits ? (down ? fromX : fromX + 1) : 0;
    for (; x > startX; x -= 1, y -= 1) {
      common[0].add(x - 1);
      common[1].add(y - 1);
    }
    [x, y] = [fromX, fromY];
  }
  return common;
}
