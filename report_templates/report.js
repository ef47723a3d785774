// The report's page: charts drawn when they come into view, tables sorted and filtered, light or dark.
"use strict";

const drawn = new Map(); // element of a chart -> its choices

function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["text", "line", "quiet", "focus", "head"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function themed(layout) {
  const { text, line, quiet, focus, head } = colours();
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
  return {
    ...layout,
    xaxis: { ...axis, ...layout.xaxis },
    yaxis: { ...axis, ...layout.yaxis },
    font: { color: text, family: "system-ui, sans-serif", size: 13 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { t: 24, r: 16, b: 48, l: 64 },
    height: 380,
    showlegend: true,
    legend: { orientation: "v" },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: quiet, activecolor: focus },
    hoverlabel: { bgcolor: head, bordercolor: line, font: { color: text } },
  };
}

function draw(place) {
  if (!drawn.has(place)) {
    drawn.set(place, JSON.parse(document.getElementById(`${place.id}-data`).textContent));
  }
  const list = document.getElementById(`${place.id}-choice`);
  const choice = drawn.get(place)[list ? list.selectedIndex : 0];
  // the button that uploads a chart is taken away, and has nowhere to send it to
  const settings = { responsive: true, displaylogo: false, plotlyServerURL: "", modeBarButtonsToRemove: ["sendChartToCloud", "lasso2d", "select2d"] };
  return Plotly.react(place, choice.data, themed(choice.layout), settings);
}

function redraw() {
  for (const place of drawn.keys()) draw(place);
}

function setUpCharts() {
  const places = [...document.querySelectorAll(".chart")];
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && !drawn.has(entry.target)) draw(entry.target);
    }
  }, { rootMargin: "300px" });
  for (const place of places) {
    seen.observe(place);
    document.getElementById(`${place.id}-choice`)?.addEventListener("change", () => draw(place));
  }
}

// Paper is white and cannot be clicked: printed light, with everything open and drawn, and put back afterwards.
function setUpPrinting() {
  const root = document.documentElement;
  let theme, folded;
  window.addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    root.dataset.theme = "light";
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const details of folded) details.open = true;
    document.querySelectorAll(".chart").forEach(draw);
  });
  window.addEventListener("afterprint", () => {
    if (theme === undefined) delete root.dataset.theme;
    else root.dataset.theme = theme;
    for (const details of folded) details.open = false;
    redraw();
  });
}

// What a field is sorted by: its number where it has one, else its text. Fields without a value come last, whichever way.
function keyOf(row, column) {
  const field = row.cells[column];
  if (field.dataset.value !== undefined) return Number(field.dataset.value);
  const text = field.textContent.trim();
  return text === "–" || text === "" ? null : text;
}

function compare(left, right) {
  if (typeof left === "number" && typeof right === "number") return left - right;
  return String(left).localeCompare(String(right), undefined, { numeric: true });
}

function sortBy(table, column, header) {
  const ascending = header.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [keyOf(row, column), row]);
  rows.sort(([left], [right]) => {
    if (left === null || right === null) return (left === null) - (right === null);
    return ascending ? compare(left, right) : compare(right, left);
  });
  body.append(...rows.map(([, row]) => row));
}

function filterBy(table, words, told) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !wanted.every((word) => text.includes(word));
    shown += row.hidden ? 0 : 1;
  }
  told.textContent = wanted.length ? `${shown} of ${table.tBodies[0].rows.length} rows` : "";
}

function setUpTables() {
  for (const table of document.querySelectorAll("table")) {
    if (table.tBodies[0].rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => sortBy(table, column, header));
    });
  }
  for (const input of document.querySelectorAll("input[data-filters]")) {
    const table = document.getElementById(input.dataset.filters);
    let waiting;
    input.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => filterBy(table, input.value, input.nextElementSibling), 120);
    });
  }
}

function setUpTheme() {
  const list = document.getElementById("theme");
  list.addEventListener("change", () => {
    if (list.value) document.documentElement.dataset.theme = list.value;
    else delete document.documentElement.dataset.theme;
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

document.documentElement.classList.add("scripted");
setUpTables();
setUpTheme();
setUpCharts();
setUpPrinting();
