/* Light or dark: as the system says, until the reader chooses. */

const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
let chosenTheme = null;
let printing = false;

const theme = () => (printing ? "light" : chosenTheme || (systemDark.matches ? "dark" : "light"));

function applyTheme() {
  document.documentElement.dataset.theme = theme();
  byId("theme").textContent = theme() === "dark" ? "Light" : "Dark";
  redrawCharts();
}

byId("theme").addEventListener("click", () => {
  chosenTheme = theme() === "dark" ? "light" : "dark";
  applyTheme();
});
systemDark.addEventListener("change", applyTheme);
window.addEventListener("beforeprint", () => {
  printing = true;
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  showAllRows();
  applyTheme();
  drawAll();
});
window.addEventListener("afterprint", () => { printing = false; applyTheme(); });
