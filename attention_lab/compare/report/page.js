// Sorts tables, hides series in figures, selects attention maps and unfolds for printing.
// Without JavaScript, the page still shows all of its content.
"use strict";
const all = (selector, from = document) => [...from.querySelectorAll(selector)];

const sortKey = (row, column) => {
  const cell = row.cells[column];
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  const text = cell.textContent.trim();
  return cell.matches(".name, .words") ? text : NaN;
};

const isMissing = (key) => typeof key === "number" && Number.isNaN(key);

function sort(table, column, sign) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [sortKey(row, column), row]);
  rows.sort(([a], [b]) => {
    if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b);
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
  });
  body.append(...rows.map(([, row]) => row));
}

all("table.sortable").forEach((table) =>
  all("thead th", table).forEach((head, column) =>
    head.querySelector("button").addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") === "ascending";
      all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "descending" : "ascending");
      sort(table, column, ascending ? -1 : 1);
    })
  )
);

all(".legend button").forEach((button) =>
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    const section = button.closest("section");
    button.setAttribute("aria-pressed", shown);
    all(`.drawing .series-${button.dataset.series}`, section).forEach((element) =>
      element.classList.toggle("hidden", !shown)
    );
  })
);

// Print everything: folded results are opened as long as the page is printed.
matchMedia("print").addEventListener("change", ({ matches }) =>
  all(matches ? "details:not([open])" : "details.printed").forEach((details) => {
    details.open = matches;
    details.classList.toggle("printed", matches);
  })
);

const layer = document.getElementById("layer");
const head = document.getElementById("head");

function showMaps() {
  all("figure.maps").forEach((figure) => {
    const { heads, side, pitch } = figure.dataset;
    const layers = figure.dataset.layers.split(",").map(Number);
    // The layer itself, or the last one before it that has maps.
    const l = Math.max(0, layers.findLastIndex((number) => number <= layer.value));
    const h = Math.min(head.value, heads - 1);
    figure
      .querySelector(".window")
      .setAttribute("viewBox", `${h * pitch} ${l * pitch} ${side} ${side}`);
    figure.querySelector(".where").textContent = `Layer ${layers[l]}, head ${h + 1}`;
    all(".cell", figure).forEach((cell) =>
      cell.classList.toggle(
        "chosen",
        Number(cell.dataset.layer) === layers[l] && Number(cell.dataset.head) === h
      )
    );
  });
}

if (layer) {
  [layer, head].forEach((select) => select.addEventListener("change", showMaps));
  all("figure.maps .cell").forEach((cell) =>
    cell.addEventListener("click", () => {
      layer.value = cell.dataset.layer;
      head.value = cell.dataset.head;
      showMaps();
    })
  );
  showMaps();
}
