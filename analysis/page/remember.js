"use strict";
/* what a reader chose, kept for the next report; a browser may keep nothing for pages of the disk */

function remember(key, value) {
  try {
    if (known(value)) localStorage.setItem(`kvarena ${key}`, JSON.stringify(value));
    else localStorage.removeItem(`kvarena ${key}`);
  } catch { /* then it is forgotten */ }
}

function remembered(key) {
  try {
    return JSON.parse(localStorage.getItem(`kvarena ${key}`));
  } catch {
    return null;
  }
}
