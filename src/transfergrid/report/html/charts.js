/* Charts: a panel for each target and label budget, drawn when it comes near the screen. */

const MOST_ARMS = 40;
const ERRORS = 1; // of Vega's levels: that a filter leaves a layer empty is no reason to warn
const panels = new Map(); // element of the chart -> {name, rows, look, drawn}
const near = new IntersectionObserver((seen) => {
  for (const entry of seen) if (entry.isIntersecting) draw(entry.target);
}, { rootMargin: "400px" });

const place = (row) => JSON.stringify([row.target, row.order, row.budget]);

function spec(name, rows, width) {
  const chart = structuredClone(page.specs[theme()][name]);
  chart.data.find((data) => data.name === "rows").values = rows;
  if (chart.width) { // else as many columns as there are
    chart.width = Math.max(width - 12, 200);
    chart.autosize = { type: chart.height ? "fit" : "fit-x", contains: "padding" };
  }
  if (name === "forest") nameArms(chart, rows, width);
  if (name === "labels" || name === "steps") legendOf(chart, rows, width);
  if (name === "heatmap") fitColumns(chart, rows, width, "strategy");
  if (name === "affinity") fitColumns(chart, rows, width, "target");
  return chart;
}

const UPRIGHT = { labelAngle: -90, labelAlign: "left", labelBaseline: "middle" };

/* As narrow as the numbers allow where all sources would else not fit. */
function fitColumns(chart, rows, width, lines) {
  const longest = Math.max(...rows.map((row) => row[lines].length));
  const columns = new Set(rows.map((row) => row.source)).size;
  const leaning = Math.max(...rows.map((row) => row.source.length)) * 5.6 - 30; // beyond the last column
  const room = width - 7 * longest - 24;
  let step = Math.min(84, (room - Math.max(0, leaning)) / columns);
  if (step < 58) { // upright names and smaller numbers
    step = Math.min(58, Math.max(46, room / columns));
    Object.assign(chart.axes.find((axis) => axis.scale === "x" && axis.labels !== false), UPRIGHT);
    for (const mark of chart.marks) if (mark.type === "text") mark.encode.update.fontSize = { value: 10.5 };
  }
  chart.signals.find((signal) => signal.name === "x_step").value = step;
  const hatch = chart.marks.find((mark) => mark.encode.update.shape);
  hatch.encode.update.size.value *= (step / 84) ** 2;
}

/* The legend names the sources that are there, in as many columns as fit. */
function legendOf(chart, rows, width) {
  const there = new Set(rows.map((row) => row.source));
  const longest = Math.max(...[...there].map((name) => name.length));
  const columns = Math.min(there.size, Math.max(1, Math.floor((width - 50) / (7.2 * longest + 34))));
  for (const legend of chart.legends) {
    legend.values = legend.values.filter((name) => there.has(name));
    legend.columns = columns;
  }
  chart.height += 16 * Math.ceil(there.size / columns); // the legend takes it from the chart
}

function nameArms(chart, rows, width) {
  const axis = chart.axes.find((one) => one.scale === "y" && one.labels !== false);
  axis.labelLimit = width / 2;
  if (width < 420) for (const one of chart.axes) if (one.title) one.title = "gain in points";
  if (7 * Math.max(...rows.map((row) => row.arm.length)) > Math.min(220, width / 2)) onTwoLines(chart, axis);
}

/* Names of arms on two lines leave a phone more room for the gains. */
function onTwoLines(chart, axis) {
  axis.encode = { labels: { update: { text: { signal: "split(datum.label, ' · ')" } } } };
  chart.signals.find((signal) => signal.name === "y_step").value = 36;
}

async function draw(element) {
  const panel = panels.get(element);
  if (!panel || panel.look === theme() || !element.clientWidth) return;
  const look = (panel.look = theme());
  const place = make("div");
  const chart = spec(panel.name, panel.rows, element.clientWidth);
  const drawn = await vegaEmbed(place, chart, { mode: "vega", renderer: "svg", actions: false, hover: false, tooltip: showTip, logLevel: ERRORS });
  if (panel.look !== look) return drawn.finalize(); // another drawing has overtaken this one
  panel.drawn?.finalize();
  panel.drawn = drawn;
  drawn.view.addEventListener("click", (event, item) => {
    if (item && item.datum && item.datum.row !== undefined) openRow(item.datum.row);
  });
  place.querySelector("svg").setAttribute("aria-hidden", "true"); // the label says it
  element.replaceChildren(place);
  element.classList.add("drawn");
}

function forget(element) {
  panels.get(element).drawn?.finalize();
  near.unobserve(element);
  panels.delete(element);
}

/* Draw again what is drawn, in the present theme and width. */
function redrawCharts() {
  for (const [element, panel] of panels) {
    const drawn = panel.look;
    panel.look = null;
    if (drawn) draw(element);
  }
}

const drawAll = () => Promise.all([...panels.keys()].map(draw));

function showTip(handler, event, item, value) {
  byId("tip")?.remove();
  if (!value) return;
  const lines = Object.entries(value).filter(([, said]) => said !== "undefined" && said !== "").map((pair) => pair.join(": "));
  const tip = make("div", { id: "tip" }, lines.join("\n"));
  document.body.append(tip);
  tip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8)}px`;
}

/* Of each kind of chart: which rows it takes, how they are split into panels, and their title. */
const byPlace = { key: place, title: (row) => `${row.target}, ${row.budget}`, takes: (row) => row.gain !== undefined };
const KINDS_OF_PANELS = {
  heatmap: byPlace,
  forest: byPlace,
  cost: {
    key: (row) => place(row) + row.baseline,
    title: (row) => `${byPlace.title(row)}, over ${row.baseline}`,
    takes: (row) => row.gain !== undefined && row.kind !== "placebo" && row.seconds > 0,
    enough: (rows) => rows.length > 1,
  },
  labels: {
    key: (row) => JSON.stringify([row.target, row.line]),
    title: (row) => `${row.strategy}: ${row.target}`,
    takes: (row) => row.gain !== undefined && row.labels !== "0",
    enough: (rows) => new Set(rows.map((row) => row.labels)).size > 1,
  },
  steps: {
    key: (row) => place(row) + row.strategy,
    title: (row) => `${row.strategy}: ${row.target}, ${row.budget}`,
    takes: () => true,
  },
  affinity: { key: (row) => row.panel, title: (row) => row.panel, takes: () => true },
  scores: { key: (row) => row.score, title: (row) => row.score, takes: (row) => row.kind !== "placebo" },
};

/* What a chart shows: rows, or points that belong to rows. */
function pointsOf(name, rows) {
  if (name === "affinity") return page.affinity;
  const shown = new Set(rows.map((row) => row.row));
  if (name === "scores") {
    return page.scores.filter(([row]) => shown.has(row)).map(([row, score, value]) => ({ ...page.rows[row], score, value }));
  }
  if (name !== "steps") return rows;
  const at = (row, steps, scores, who) => steps.map((step, i) => ({ ...page.rows[row], step, score: scores[i], who }));
  return page.steps.filter(([row]) => shown.has(row)).flatMap(([row, steps, arm, baseline]) => [
    ...at(row, steps, arm, "arm"), ...at(row, steps, baseline, "baseline")]);
}

function showPanels(container, rows) {
  const kind = KINDS_OF_PANELS[container.dataset.chart];
  const points = pointsOf(container.dataset.chart, rows).filter(kind.takes);
  const groups = [...grouped(points, kind.key).values()].filter(kind.enough ?? (() => true));
  for (const element of container.querySelectorAll(".chart")) forget(element);
  container.replaceChildren(...groups.map((group) => panelOf(container.dataset.chart, kind, group)));
  container.closest("section").hidden = groups.length === 0;
  for (const element of container.querySelectorAll(".chart")) near.observe(element);
}

function panelOf(name, kind, rows, most = MOST_ARMS) {
  const title = kind.title(rows[0]);
  const figure = make("figure", {}, captionOf(name, title, rows));
  if (["heatmap", "forest", "affinity"].includes(name)) figure.append(make("p", { class: "over" }, oversOf(rows)));
  if (name !== "forest") figure.append(chartOf(name, kind, rows));
  else addForest(figure, kind, rows, most);
  if (name === "cost") figure.append(make("p", { class: "over" }, frontOf(rows)));
  return figure;
}

function chartOf(name, kind, rows) {
  const chart = make("div", { class: "chart", role: "img", tabindex: "0", "aria-label": described(name, kind, rows) });
  panels.set(chart, { name: costChart(name), rows, look: null, drawn: null });
  return chart;
}

function captionOf(name, title, rows) {
  const link = name === "affinity" ? null : make("button", { type: "button", onclick: () => showRows(name, rows) }, "rows");
  link?.setAttribute("aria-label", `Rows behind the figure of ${title}`);
  const save = make("button", { type: "button", onclick: () => saved(figureOf(save), title) }, "SVG");
  save.setAttribute("aria-label", `Save the figure of ${title} as SVG`);
  return make("figcaption", {}, make("h3", {}, title), make("span", { class: "tools" }, link, save));
}

const figureOf = (inside) => inside.closest("figure").querySelector(".chart");

/* Gains of sources, and apart from them, on a scale of their own, those of placebos and controls. */
function addForest(figure, kind, rows, most) {
  const sorted = rows.slice().sort((a, b) => a.place - b.place);
  const [own, aside] = [sorted.filter((row) => row.kind === "transfer"), sorted.filter((row) => row.kind !== "transfer")];
  const listed = own.slice(0, most);
  if (listed.length) figure.append(chartOf("forest", kind, listed));
  if (aside.length) figure.append(make("h4", {}, "placebos and arms without a source"), chartOf("forest", kind, aside.slice(0, most)));
  if (listed.length < own.length || aside.length > most) {
    const all = () => {
      for (const chart of figure.querySelectorAll(".chart")) forget(chart);
      const whole = panelOf("forest", kind, rows, Infinity);
      figure.replaceWith(whole);
      for (const chart of whole.querySelectorAll(".chart")) near.observe(chart);
    };
    figure.append(make("button", { type: "button", class: "more", onclick: all }, `the ${most} largest gains: show all ${rows.length}`));
  }
}

/* Name the baseline of most rows, and the strategies that have another. */
function oversOf(rows) {
  const groups = [...grouped(rows, (row) => row.baseline)].sort((a, b) => b[1].length - a[1].length);
  const named = ([baseline, of], i) => (i === 0 ? `over ${baseline}` : `${[...new Set(of.map((row) => row.strategy))].join(", ")} over ${baseline}`);
  return groups.map(named).join("; ");
}

function frontOf(rows) {
  const [front, cost] = byId("with-source").checked ? ["all_front", "all_seconds"] : ["front", "seconds"];
  const best = rows.filter((row) => row[front]).sort((a, b) => a[cost] - b[cost]);
  return best.map((row) => `${row[front]}: ${row.arm}, ${seconds(row[cost])} s, ${row.shown}`).join(" · ");
}

const costChart = (name) => (name === "cost" && byId("with-source").checked ? "all_cost" : name);

const CALLED = {
  heatmap: "Heat map", affinity: "Matrix of tasks", forest: "Gains with intervals", cost: "Gain against time",
  labels: "Gains over label budgets", steps: "Validation scores over steps", scores: "Gains against the score",
};

function described(name, kind, points) {
  const rows = name === "affinity" ? points : [...new Set(points.map((point) => point.row))].map((row) => page.rows[row]);
  const where = name === "affinity" ? "below it" : "of all comparisons";
  const many = (verdict) => rows.filter((row) => row.verdict === verdict).length;
  return `${CALLED[name]}: ${kind.title(points[0])}. ${many("positive")} helped, ${many("negative")} hurt, ` +
    `${many("equivalent")} no difference, ${many("harm ruled out")} with harm ruled out, ` +
    `${many("gain ruled out")} with gain ruled out, ${many("undecided")} undecided. The numbers stand in the table ${where}.`;
}

function showRows(name, rows) {
  const { target, labels, strategy } = rows[0];
  const wanted = { labels: { target, strategy }, steps: { target, labels, strategy }, scores: {} }[name];
  setFilters(wanted ?? { target, labels });
  byId("comparisons").scrollIntoView();
  byId("comparisons").querySelector("thead button").focus({ preventScroll: true });
}

async function saved(chart, title) {
  await draw(chart);
  const svg = await panels.get(chart).drawn.view.toSVG();
  const link = make("a", { download: `${title.replace(/[^\w]+/g, "_")}.svg`, href: URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" })) });
  link.click();
  URL.revokeObjectURL(link.href);
}

listeners.push((rows) => {
  for (const container of document.querySelectorAll(".panels")) showPanels(container, rows);
});
byId("with-source").addEventListener("change", () => showPanels(document.querySelector('[data-chart="cost"]'), shownRows()));
let lastWidth = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth !== lastWidth && !printing) { lastWidth = window.innerWidth; redrawCharts(); }
});
