// SPDX-License-Identifier: GPL-2.0-or-later
// Draws the plots of a page, sorts its tables and filters its long ones.  Needs Plotly, which stands before it.
"use strict";
(() => {
  const { plots, records } = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const PRINTED = 680; // CSS pixels of a printed page between its margins
  let printing = false;

  // -- plots ---------------------------------------------------------------------------------------------------

  // Bytes as people read them, three significant digits.
  const bytes = (n) => {
    let unit = 0;
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    while (Math.abs(n) >= 1024 && unit < 4) { n /= 1024; unit++; }
    return `${parseFloat(n.toPrecision(4))} ${units[unit]}`;
  };

  // Ticks of a range of bytes: multiples of a power of two.
  const ticks = (low, high) => {
    const step = 2 ** Math.ceil(Math.log2(Math.max(high - low, 1) / 6));
    const found = [];
    for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) found.push(tick);
    return { tickvals: found, ticktext: found.map(bytes) };
  };

  const colours = () => {
    const light = printing || !dark.matches;
    return { ink: light ? "#222222" : "#e4e4e4", rule: light ? "#dddddd" : "#3a3e46", field: light ? "#ffffff" : "#24272d" };
  };

  const axesOf = (layout) => Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));

  const themed = (layout) => {
    const { ink, rule, field } = colours();
    const made = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", "font.color": ink,
      "hoverlabel.bgcolor": field, "hoverlabel.font.color": ink,
    };
    for (const key of axesOf(layout)) {
      made[`${key}.gridcolor`] = rule;
      made[`${key}.zerolinecolor`] = rule;
      made[`${key}.linecolor`] = ink;
    }
    return made;
  };

  const retick = (place, names) => {
    const change = {};
    for (const name of names) {
      const axis = place._fullLayout[name];
      const { tickvals, ticktext } = ticks(...axis.range);
      if (String(axis.tickvals) !== String(tickvals)) {
        change[`${name}.tickmode`] = "array";
        change[`${name}.tickvals`] = tickvals;
        change[`${name}.ticktext`] = ticktext;
      }
    }
    if (Object.keys(change).length) Plotly.relayout(place, change);
  };

  const draw = async (plot) => {
    const place = document.getElementById(plot.id);
    const narrow = place.clientWidth < 500;
    const layout = structuredClone(plot.layout);
    layout.margin = narrow ? { l: 62, r: 8, t: 24, b: 40 } : { l: 90, r: 16, t: 28, b: 40 };
    if (narrow) layout.font = { size: 10 };
    const config = { responsive: true, displaylogo: false, scrollZoom: false };
    await Plotly.newPlot(place, plot.traces, layout, config);
    await Plotly.relayout(place, themed(plot.layout));
    retick(place, plot.bytes);
    place.on("plotly_relayout", () => retick(place, plot.bytes));
  };

  const redress = () => {
    for (const plot of plots) Plotly.relayout(document.getElementById(plot.id), themed(plot.layout));
  };

  const print = (on) => {
    printing = on;
    for (const plot of plots) {
      const place = document.getElementById(plot.id);
      place.style.width = on ? `${PRINTED}px` : "";
      Plotly.relayout(place, { ...themed(plot.layout), width: on ? PRINTED : null, autosize: !on });
    }
  };

  dark.addEventListener("change", redress);
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));

  // -- tables --------------------------------------------------------------------------------------------------

  // What a value is sorted by: "1G" and "0x1000" are numbers of bytes.
  const POWERS = { B: 0, K: 10, M: 20, G: 30, T: 40, P: 50 };
  const key = (value) => {
    const size = /^(\d+)([BKMGTP])$/.exec(value);
    if (size) return Number(size[1]) * 2 ** POWERS[size[2]];
    return /^0(x[0-9a-f]+)?$/.test(value) ? Number(value) : value;
  };

  const keyOf = (cell) => (cell.dataset.v === undefined ? key(cell.textContent) : Number(cell.dataset.v));

  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true }));

  const mark = (head, up) => {
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      const head = event.target.closest("th");
      if (!event.target.closest("button")) return;
      const column = head.cellIndex, up = head.getAttribute("aria-sort") === "descending" || !head.hasAttribute("aria-sort");
      const rows = [...table.tBodies[0].rows];
      const sums = rows.filter((row) => row.classList.contains("sum"));
      const sorted = rows.filter((row) => !row.classList.contains("sum"));
      sorted.sort((a, b) => (up ? 1 : -1) * compare(keyOf(a.cells[column]), keyOf(b.cells[column])));
      table.tBodies[0].append(...sorted, ...sums);
      mark(head, up);
    });
  }

  // -- long tables ---------------------------------------------------------------------------------------------

  const STEP = 200; // rows that are shown at first, and more at a time

  const watch = (record) => {
    const place = document.getElementById(record.id);
    const [head, body] = [place.querySelector("thead"), place.querySelector("tbody")];
    const find = place.querySelector(".find"), failed = place.querySelector(".failed");
    const value = (column, row) => (column.words ? column.words[column.values[row]] : column.values[row]);
    const shown = (column, row) => {
      const found = value(column, row);
      return found === null ? "" : typeof found === "number" ? found.toLocaleString("en", { maximumFractionDigits: 3 }) : found;
    };
    const errno = record.columns.find((column) => column.name === "errno");
    const number = record.columns[0].values.length;
    let rows = [], most = STEP, sorting = null;

    const show = () => {
      body.replaceChildren(...rows.slice(0, most).map((row) => {
        const line = document.createElement("tr");
        for (const column of record.columns) {
          const cell = line.insertCell();
          cell.textContent = shown(column, row);
          if (column.words) cell.className = "left";
        }
        return line;
      }));
      place.querySelector(".count").textContent = `${rows.length.toLocaleString("en")} of ${number.toLocaleString("en")}`
        + (rows.length > most ? `, the first ${most.toLocaleString("en")} shown` : "");
      place.querySelector(".more").hidden = rows.length <= most;
    };

    const filter = () => {
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows = [];
      for (let row = 0; row < number; row++) {
        if (failed.checked && errno && !value(errno, row)) continue;
        const line = words.length ? record.columns.map((column) => shown(column, row)).join(" ").toLowerCase() : "";
        if (words.every((word) => line.includes(word))) rows.push(row);
      }
      if (sorting) rows.sort((a, b) => (sorting.up ? 1 : -1) * compare(key(value(sorting.column, a) ?? ""), key(value(sorting.column, b) ?? "")));
      show();
    };

    const line = head.insertRow();
    for (const column of record.columns) {
      const cell = document.createElement("th"), button = document.createElement("button");
      cell.scope = "col";
      if (column.words) cell.className = "left";
      button.textContent = column.name;
      button.addEventListener("click", () => {
        sorting = { column, up: cell.getAttribute("aria-sort") !== "ascending" };
        mark(cell, sorting.up);
        filter();
      });
      cell.append(button);
      line.append(cell);
    }
    failed.parentElement.hidden = !errno;
    find.addEventListener("input", () => { most = STEP; filter(); });
    failed.addEventListener("change", () => { most = STEP; filter(); });
    place.querySelector(".more").addEventListener("click", () => { most += STEP; show(); });
    filter();
  };

  records.forEach(watch);
  Promise.all(plots.map(draw)).then(() => { document.body.dataset.ready = "yes"; });
})();
