/* All parts are there: show everything once. */

chosenTheme = null;
document.documentElement.dataset.theme = theme();
byId("theme").textContent = theme() === "dark" ? "Light" : "Dark";
changed();
