"use strict";
/* what was asked, and what was to be answered */

function showQuestion(text, target) {
  const asked = element("div", { class: "asked", tabindex: 0, role: "region", "aria-label": "Question" });
  asked.append(text || element("i", {}, "The question is not recorded in these runs."));
  byId("question").replaceChildren(asked, element("p", {}, "Target: ", element("b", {}, target)));
}
