"use strict";
/* where words stand in a text, whatever their case */

function occurrences(text, words) {
  const [within, wanted] = [text.toLowerCase(), words.toLowerCase()];
  const found = [];
  if (!wanted) return found;
  for (let at = within.indexOf(wanted); at >= 0; at = within.indexOf(wanted, at + wanted.length)) found.push({ from: at, to: at + wanted.length });
  return found;
}

/* the place among so many of the one after, or before, the one at `now`; -1: none was yet */
const around = (now, by, length) => (now < 0 ? (by > 0 ? 0 : length - 1) : (now + by + length) % length);
