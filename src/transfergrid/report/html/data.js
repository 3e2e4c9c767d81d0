"use strict";
/* What the page shows: the rows, and those of them that the filters leave. */

const page = JSON.parse(document.getElementById("data").textContent);
const filters = document.getElementById("filters");
const listeners = [];

const byId = (id) => document.getElementById(id);
const shownRows = () => page.rows.filter(isShown);

function isShown(row) {
  const wanted = (name) => !filters.elements[name].value || filters.elements[name].value === row[name];
  const aside = filters.elements.aside.checked || row.kind === "transfer";
  return aside && ["target", "labels", "source", "strategy", "verdict"].every(wanted);
}

function grouped(rows, key) {
  const groups = new Map();
  for (const row of rows) {
    const name = key(row);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(row);
  }
  return groups;
}

/* An element; its text is never read as markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/* As the rest of the page has it: a tie, which is an odd part of two in binary, goes to the even digit. */
function fixed(value, digits) {
  const tie = Math.abs(value * 2 ** (digits + 1)) % 2 === 1;
  const even = (2 * Math.round((value * 10 ** digits) / 2)) / 10 ** digits;
  return ((tie ? even : Number(value.toFixed(digits))) + 0).toFixed(digits);
}

function number(value, digits, signed = false) {
  if (value === undefined || value === null) return "–";
  const size = Math.abs(value);
  const short = (places) => value.toExponential(places).replace(/\.?0*e([+-])(\d)$/, "e$10$2");
  const most = { 1: 1e4, 3: 1e7 }[digits] ?? Infinity; // as wording.verdict_words.number has it
  let text = fixed(value, digits === 3 && size >= 1000 ? 0 : digits);
  if (size >= most) text = short(0);
  else if (digits === 3 && size > 0 && size < 0.001) text = size < 1e-4 ? short(2) : String(Number(value.toPrecision(3)));
  return (signed && !text.startsWith("-") ? "+" : "") + text;
}

const seconds = (value) => (value === undefined ? "" : value < 9.95 ? value.toPrecision(2) : value.toFixed(0));

function changed() {
  const rows = shownRows();
  byId("shown").textContent = `${rows.length} of ${page.rows.length} comparisons`;
  for (const listener of listeners) listener(rows);
}

function setFilters(values) {
  for (const control of filters.elements) {
    if (control.name === "aside") control.checked = values.aside ?? control.checked;
    else if (control.name) control.value = values[control.name] ?? "";
  }
  changed();
}

filters.addEventListener("change", changed);
filters.addEventListener("reset", () => setTimeout(changed));
filters.addEventListener("submit", (event) => event.preventDefault());
