"use strict";
/* an address has four parts, of which the last two may be left out: #task/sample/draw/method. Draws are counted from 1 */

const written = (...parts) => `#${parts.map(encodeURIComponent).join("/")}`;

/* null where it is no address, but a section */
function parts(hash) {
  const [task, sample, draw = "1", ...method] = hash.slice(1).split("/").map(decoded);
  return known(sample) ? { task, sample, draw: Number(draw), method: method.join("/") } : null;
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/* show what `open` made of the address, or what is wrong with it */
function arrive(wrong) {
  byId("wrong").textContent = wrong || "";
  byId("wrong").hidden = !wrong;
  byId("reader").scrollIntoView();
  byId("reader-title").focus({ preventScroll: true });
}

/* a link to where the page is already leads there again */
function followed(follow) {
  addEventListener("hashchange", follow);
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (link && link.hash === location.hash && !event.ctrlKey && !event.metaKey) follow();
  });
}
