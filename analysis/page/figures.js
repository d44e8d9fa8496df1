"use strict";
/* the figures that stand beside the page */

function figureList(figures) {
  byId("figures").append(...figures.map(([file, caption]) =>
    element("a", { href: `${file}.svg` }, element("img", { src: `${file}.png`, loading: "lazy", alt: "" }), caption)));
}
