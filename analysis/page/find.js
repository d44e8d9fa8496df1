"use strict";
/* words that are searched in both completions: all are marked, Enter goes to the next, Shift and Enter to the one before */

function search() {
  const words = byId("find").value;
  for (const side of state.sides) {
    side.hits = side.text ? occurrences(side.text.completion, words) : [];
    side.hit = null;
  }
  const counts = state.sides.map((side) => side.hits.length);
  byId("found").textContent = words ? `${counts[0]} left, ${counts[1]} right` : "";
  for (const id of ["find-previous", "find-next"]) byId(id).disabled = !(counts[0] + counts[1]);
}

function searchNow() {
  search();
  for (const side of state.sides) if (side.turn) side.turn((side.page || 0) * PAGE_CHARACTERS);
  if (byId("find").value) nextHit(1);
}

function nextHit(by) {
  const all = state.sides.flatMap((side) => (side.hits || []).map((hit) => [side, hit]));
  if (!all.length) return;
  const now = all.findIndex(([side, hit]) => side.hit === hit);
  const [side, hit] = all[around(now, by, all.length)];
  for (const other of state.sides) {
    const had = other.hit;
    other.hit = other === side ? hit : null;
    if (had && other !== side) other.turn(other.page * PAGE_CHARACTERS);
  }
  side.turn(hit.from, true);
}

byId("find").addEventListener("input", searchNow);
byId("find").addEventListener("keydown", (event) => event.key === "Enter" && nextHit(event.shiftKey ? -1 : 1));
byId("find-next").addEventListener("click", () => nextHit(1));
byId("find-previous").addEventListener("click", () => nextHit(-1));
