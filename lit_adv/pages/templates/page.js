"use strict";
// Sorting, switching, filtering and hints. All that it shows is in the page already; without it, the page can be read.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const byId = (id) => document.getElementById(id);
const percent = (text) => (text === "" ? "–" : text);

// Of which images the shares are: "all" or "correct".
let of = "all";

// The texts of a cell's share, the ends of its interval (both in percent, "" where there is none), hits and total; or
// of its share alone; null where the cell holds no share.
function rate(cell, kind = of) {
  const text = cell.dataset[kind] ?? cell.dataset.all;
  return text === undefined ? null : text.split(",");
}

function showShares() {
  for (const cell of all("td[data-all]")) {
    const [share] = rate(cell);
    cell.querySelector(".value").textContent = percent(share);
    cell.style.setProperty("--share", Number(share) / 100);
  }
}

// --- sorting ---

function sortKey(row, column) {
  const cell = row.cells[column];
  const known = rate(cell);
  if (known !== null) return known[0] === "" ? -1 : Number(known[0]);
  const text = cell.textContent.trim();
  return text === "" || Number.isNaN(Number(text)) ? text : Number(text);
}

function sortTable(table, column, descending) {
  const rows = [...table.tBodies[0].rows].map((row) => [sortKey(row, column), row]);
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  rows.sort(([a], [b]) => (descending ? compare(b, a) : compare(a, b)));
  table.tBodies[0].append(...rows.map(([, row]) => row));
  for (const [number, head] of [...table.tHead.rows[0].cells].entries()) {
    head.setAttribute("aria-sort", number !== column ? "none" : descending ? "descending" : "ascending");
  }
}

for (const table of all("table.sortable")) {
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    head.setAttribute("aria-sort", "none");
    head.querySelector("button").addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      // Names rise first, numbers fall first.
      sortTable(table, column, now === "none" ? column > 0 : now === "ascending");
    });
  }
}

// Switching between the kinds of shares keeps a table in the order that its reader chose.
function sortAgain() {
  for (const table of all("table.sortable.rates")) {
    const heads = [...table.tHead.rows[0].cells];
    const column = heads.findIndex((head) => head.getAttribute("aria-sort") !== "none");
    if (column > 0) sortTable(table, column, heads[column].getAttribute("aria-sort") === "descending");
  }
}

// --- hints: on hover, on focus and on touch ---

const tip = byId("tip");

function describe(cell) {
  const [share, low, high, hits, total] = rate(cell);
  if (total === undefined) return "";
  const column = cell.closest("table").tHead.rows[0].cells[cell.cellIndex].textContent.trim();
  const row = cell.parentElement.dataset.name ?? cell.parentElement.cells[0].textContent.trim();
  const lines = [`${row}, ${column}`];
  if (share === "") lines.push("no such images");
  else lines.push(`${hits} of ${total}: ${percent(share)} %, 95 % interval ${percent(low)} to ${percent(high)}`);
  if (cell.dataset.aimed) lines.push(`taken for the class aimed at: ${percent(rate(cell, "aimed")[0])} %`);
  if (cell.dataset.abstained) lines.push(`abstentions among them: ${cell.dataset.abstained}`);
  if (cell.dataset.clean) lines.push(`clean accuracy: ${percent(rate(cell, "clean")[0])} %`);
  if (cell.dataset.paper) lines.push(`the paper’s number: ${cell.dataset.paper} %`);
  if (cell.dataset.white !== undefined) lines.push("a white box: the attack saw these weights");
  return lines.join("\n");
}

function showTip(cell) {
  tip.textContent = describe(cell);
  tip.hidden = tip.textContent === "";
  const box = cell.getBoundingClientRect();
  const below = box.bottom + tip.offsetHeight + 8 < innerHeight;
  tip.style.top = `${Math.max(4, below ? box.bottom + 4 : box.top - tip.offsetHeight - 4)}px`;
  tip.style.left = `${Math.max(4, Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 4))}px`;
}

const hideTip = () => (tip.hidden = true);
const matrix = byId("rates");
if (matrix) {
  const cellOf = (event) => event.target.closest("td[tabindex]");
  matrix.addEventListener("mouseover", (event) => (cellOf(event) ? showTip(cellOf(event)) : hideTip()));
  matrix.addEventListener("mouseleave", hideTip);
  matrix.addEventListener("focusin", (event) => (cellOf(event) ? showTip(cellOf(event)) : hideTip()));
  matrix.addEventListener("focusout", hideTip);
  matrix.parentElement.addEventListener("scroll", hideTip);
  // One stop for the tabulator key; from there the arrows lead on.
  const first = matrix.tBodies[0].querySelector("td");
  if (first) first.tabIndex = 0;
  matrix.addEventListener("keydown", (event) => {
    const cell = cellOf(event);
    if (event.key === "Escape") hideTip();
    const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key] ?? [0, 0];
    if (!cell || (!down && !right)) return;
    event.preventDefault();
    const visible = (element) => !element.hidden;
    const rows = [...matrix.rows].slice(1).filter(visible);
    const row = rows[rows.indexOf(cell.parentElement) + down];
    const cells = row ? all("td[tabindex]", row).filter(visible) : [];
    const next = cells[all("td[tabindex]", cell.parentElement).filter(visible).indexOf(cell) + right];
    if (!next) return;
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    next.scrollIntoView({ block: "nearest", inline: "nearest" });
    showTip(next);
  });
}

// --- switches and filters ---

byId("switches")?.addEventListener("change", (event) => {
  if (event.target.name === "of") {
    of = event.target.value;
    showShares();
    sortAgain();
  }
  document.body.classList.toggle("with-paper", byId("paper")?.checked ?? false);
});
document.body.classList.toggle("with-paper", byId("paper")?.checked ?? false);

const holds = (name, part) => name.toLowerCase().includes(part.trim().toLowerCase());
byId("find-target")?.addEventListener("input", (event) => {
  for (const head of all("thead th[data-name]", matrix)) {
    const hidden = !holds(head.dataset.name, event.target.value);
    for (const row of matrix.rows) row.cells[head.cellIndex].hidden = hidden;
  }
});
byId("find-attack")?.addEventListener("input", (event) => {
  for (const row of matrix.tBodies[0].rows) row.hidden = !holds(row.dataset.name, event.target.value);
});

function passes(flags, outcome) {
  if (outcome === "every") return !flags.includes("0");
  if (outcome === "none") return !flags.includes("1");
  if (outcome === "some") return flags.includes("0") && flags.includes("1");
  const [target, fooled] = outcome.split("=");
  return outcome === "" || flags[target] === fooled;
}

byId("filters")?.addEventListener("change", () => {
  const [attack, label, outcome] = ["by-attack", "by-class", "by-outcome"].map((id) => byId(id).value);
  let shown = 0;
  for (const card of all(".card")) {
    const wanted = { attack: attack === "" || card.dataset.attack === attack, label: label === "" || card.dataset.class === label };
    card.hidden = !(wanted.attack && wanted.label && passes(card.dataset.flags, outcome));
    shown += !card.hidden;
  }
  byId("shown").textContent = `${shown} image${shown === 1 ? "" : "s"}`;
});

for (const form of all("form")) form.addEventListener("submit", (event) => event.preventDefault());

// What is printed shows all: a sheet of paper opens nothing.
addEventListener("beforeprint", () => all("details").forEach((part) => (part.open = true)));

showShares();
