"use strict";
/* light or dark: as the system has it, unless the switch says otherwise */

const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
const colour = (variable) => {
  const probe = byId("probe");
  probe.style.color = `var(${variable})`;
  return getComputedStyle(probe).color;
};

function setTheme(chosen) {
  if (chosen) document.documentElement.dataset.theme = chosen;
  else delete document.documentElement.dataset.theme;
  byId("theme").setAttribute("aria-pressed", isDark());
  document.dispatchEvent(new Event("theme"));
}

byId("theme").addEventListener("click", () => {
  const wanted = isDark() ? "light" : "dark";
  const chosen = wanted === (system.matches ? "dark" : "light") ? null : wanted;
  remember("theme", chosen);
  setTheme(chosen);
});
system.addEventListener("change", () => setTheme(document.documentElement.dataset.theme));
setTheme(remembered("theme"));
