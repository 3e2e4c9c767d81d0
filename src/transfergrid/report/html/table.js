/* The table of all comparisons: sorted by its headings, a hundred rows at a time. */

const STEP = 100;
let sorting = { name: null, up: true };
let tableRows = [];
let listed = STEP;
let reads = page.rows;

const badge = (row) => make("span", { class: `badge ${row.verdict.replaceAll(" ", "_")}` }, `${row.mark} ${row.said}`);

function compare(a, b) {
  const [x, y] = [a[sorting.name], b[sorting.name]];
  if (x === undefined || y === undefined) return (x === undefined) - (y === undefined); // last either way
  const order = typeof x === "number" ? x - y : String(x).localeCompare(String(y));
  return sorting.up ? order : -order;
}

function sortBy(name) {
  sorting = { name, up: sorting.name === name ? !sorting.up : true };
  for (const head of byId("comparisons").querySelectorAll("th")) {
    const way = sorting.up ? "ascending" : "descending";
    head.setAttribute("aria-sort", head.dataset.name === name ? way : "none");
  }
  showTable(tableRows);
}

function showTable(rows) {
  tableRows = sorting.name ? rows.slice().sort(compare) : rows;
  byId("body").replaceChildren(...tableRows.slice(0, listed).map(lineOf));
  showMore();
}

function showMore() {
  const left = tableRows.length - listed;
  byId("more").hidden = left <= 0;
  byId("more").textContent = `show ${Math.min(STEP, left)} more of ${left}`;
}

function addRows(many) {
  const next = tableRows.slice(listed, listed + many);
  listed += many;
  byId("body").append(...next.map(lineOf));
  showMore();
}

const showAllRows = () => addRows(Math.max(tableRows.length - listed, 0));

function lineOf(row) {
  const expand = make("button", { type: "button", class: "expand", "aria-expanded": "false", onclick: () => toggle(line, row) }, "▸");
  expand.setAttribute("aria-label", `Cells behind ${row.arm} on ${row.target}, ${row.budget}`);
  const line = make("tr", { "data-row": row.row });
  line.append(...page.columns.map((column, i) => {
    const classes = [column.number && "number", column.wide && "wide-only"].filter(Boolean).join(" ");
    const cell = make("td", { class: classes || null, "data-label": column.title });
    cell.append(...(i === 0 ? [expand, " ", badge(row)] : [page.texts[row.row][i]]));
    return cell;
  }));
  return line;
}

function toggle(line, row) {
  const expand = line.querySelector(".expand");
  const open = expand.getAttribute("aria-expanded") === "true";
  expand.setAttribute("aria-expanded", String(!open));
  expand.textContent = open ? "▸" : "▾";
  line.classList.toggle("open", !open);
  if (open) line.nextElementSibling.remove();
  else line.after(make("tr", { class: "detail" }, make("td", { colspan: page.columns.length }, ...detailsOf(row))));
}

/* Show one row, whatever the filters and the page of the table, and open it. */
function openRow(number) {
  if (!tableRows.some((row) => row.row === number)) setFilters({ aside: true });
  const at = tableRows.findIndex((row) => row.row === number);
  if (at >= listed) addRows(at - listed + STEP);
  const line = byId("body").querySelector(`tr[data-row="${number}"]`);
  if (!line.classList.contains("open")) toggle(line, page.rows[number]);
  line.scrollIntoView({ block: "center" });
  line.querySelector(".expand").focus({ preventScroll: true });
}

function detailsOf(row) {
  const notes = [...(row.notes ?? []), ...(row.remarks ?? [])];
  return [
    notes.length ? make("ul", {}, ...notes.map((note) => make("li", {}, note))) : null,
    make("h4", {}, `${row.strategy} and ${row.baseline}, seed by seed`),
    make("div", { class: "scroll" }, seedsOf(row)),
    ...overOthers(row),
    ...differences(row),
    make("p", { class: "how" }, "Each cell is a folder of the ledger: ", make("code", {}, "transfergrid reproduce CELL"), " runs it again."),
  ].filter(Boolean);
}

function plainTable(titles, lines, firstNumber) {
  const cell = (tag) => (text, i) =>
    make(tag, { class: i >= firstNumber ? "number" : null, "data-label": tag === "td" ? titles[i] : null }, text);
  return make("table", {}, make("thead", {}, make("tr", {}, ...titles.map(cell("th")))),
    make("tbody", {}, ...lines.map((line) => make("tr", {}, ...line.map(cell("td"))))));
}

function seedsOf(row) {
  const told = (id) => page.cells[id] ?? [];
  const lines = (row.seeds ?? []).map((seed, i) => {
    const [cell, base] = [row.cells?.[i], row.baseline_cells?.[i]];
    const flags = [told(cell)[5], told(base)[5]].filter(Boolean).join("; ");
    return [make("code", {}, cell ?? "–"), make("code", {}, base ?? "–"), String(seed), number(told(cell)[1], row.digits),
      number(told(base)[1], row.digits), number(row.gains?.[i], row.digits, true), flags];
  });
  return plainTable(["cell", "baseline's cell", "seed", "score", "baseline", "gain", "flags"], lines, 2);
}

/* The same arm over the exploratory baselines. */
function overOthers(row) {
  const same = (other) => ["source", "strategy", "target", "labels"].every((name) => other[name] === row[name]);
  const found = Object.entries(page.over).flatMap(([name, rows]) => rows.filter(same).map((other) => [name, other]));
  if (!found.length) return [];
  const lines = found.map(([name, other]) => [name, badge(other), other.shown, other.interval ?? ""]);
  return [make("h4", {}, "Over other baselines (exploratory)"), plainTable(["over", "verdict", "gain", "95 %"], lines, 2)];
}

function configOf(id) {
  return Object.assign({}, ...((page.cells[id] ?? [])[4] ?? []).map((part) => page.configs[part] ?? {}));
}

function differences(row) {
  const [arm, base] = [configOf(row.cells?.[0]), configOf(row.baseline_cells?.[0])];
  const keys = [...new Set([...Object.keys(base), ...Object.keys(arm)])].sort();
  const text = (value) => (value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value));
  const lines = keys.filter((key) => text(arm[key]) !== text(base[key])).map((key) => [make("code", {}, key), text(base[key]), text(arm[key])]);
  if (!lines.length) return [];
  return [make("h4", {}, "What its config has otherwise than the baseline's"),
    make("div", { class: "scroll" }, plainTable(["key", row.baseline, row.strategy], lines, 9))];
}

byId("head").append(make("tr", {}, ...page.columns.map((column) => {
  const head = make("th", { scope: "col", "aria-sort": "none", "data-name": column.by });
  head.className = [column.number && "number", column.wide && "wide-only"].filter(Boolean).join(" ");
  head.append(make("button", { type: "button", onclick: () => sortBy(column.by) }, column.title));
  return head;
})));
byId("more").addEventListener("click", () => addRows(STEP));
listeners.push((rows) => { listed = STEP; showTable(rows); });
