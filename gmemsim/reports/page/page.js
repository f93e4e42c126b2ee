// SPDX-License-Identifier: GPL-2.0-or-later
// Draws the plots of a page, sorts its tables and filters its long ones.  Needs Plotly, which stands before it.
"use strict";
(() => {
  const { lists, plots, records } = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const PRINTED = 680; // CSS pixels of a printed page between its margins
  const NEAR = 1e-9; // by this part of the axis a value's second point stands before the next value
  const MARGIN = 20 / 19; // what Plotly leaves above the highest value
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

  const isLight = () => printing || !dark.matches;

  const axesOf = (layout) => Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));

  // The layout in the colours of this paper.
  const dressed = (layout) => {
    const [ink, rule, field] = isLight() ? ["#222222", "#dddddd", "#ffffff"] : ["#e4e4e4", "#3a3e46", "#24272d"];
    const clear = "rgba(0,0,0,0)";
    Object.assign(layout, { paper_bgcolor: clear, plot_bgcolor: clear, font: { ...layout.font, color: ink } });
    layout.hoverlabel = { bgcolor: field, font: { color: ink } };
    for (const key of axesOf(layout)) Object.assign(layout[key], { gridcolor: rule, zerolinecolor: rule, linecolor: ink });
    return layout;
  };

  // The traces as Plotly wants them; what a trace of ours may ask for is said by Plot in parts.py.
  const tracesOf = (plot) => {
    const end = plot.layout.xaxis.range?.[1], palette = plot.palettes[isLight() ? "light" : "dark"];
    const doubled = (list) => list.flatMap((value) => [value, value]);
    // The point nearest to the cursor has the value that holds there: one stands just before the next value.
    const begun = (list) => list.flatMap((x, i) => [x, Math.max(x, (list[i + 1] ?? end) - NEAR * end)]);
    let below = null;
    return plot.traces.map(({ steps, stacked, rows, names, size, around, ...made }) => {
      if (made.x !== undefined) made.x = lists[made.x];
      if (made.y !== undefined) made.y = lists[made.y];
      if (stacked) {
        made.customdata = made.y;
        made.y = below = below ? made.y.map((value, i) => value + below[i]) : made.y;
      }
      if (steps) {
        made.x = begun(made.x);
        made.y = doubled(made.y);
        if (stacked) made.customdata = doubled(made.customdata);
      }
      if (rows) {
        made.z = rows.map((row) => [...row].map(Number));
        made.customdata = made.z.map((row) => row.map((kind) => names[kind]));
        const part = (k) => k / palette.length;
        made.colorscale = palette.flatMap((colour, k) => [[part(k), colour], [part(k + 1), colour]]);
      }
      if (size !== undefined) {
        const what = made.mode === "markers" ? "marker" : "line";
        made[what] = { ...made[what], color: palette[size] };
      }
      if (around && !isLight()) made.line = { ...made.line, color: palette.at(-1) };
      return made;
    });
  };

  // Ticks for the range that an axis will have: drawing again for them alone takes as long as drawing.
  const foretick = (layout, name, traces) => {
    const here = traces.filter((trace) => trace.yaxis === name.replace("axis", ""));
    const highest = ({ y, z, dy }) => (z ? z.length * dy : y.reduce((a, b) => Math.max(a, b), 0) * MARGIN);
    const high = Math.max(0, ...here.map(highest));
    if (high) Object.assign(layout[name], { tickmode: "array", ...ticks(0, high) });
  };

  const retick = (place, names) => {
    const change = {};
    for (const name of names) {
      const axis = place._fullLayout[name], [low, high] = axis.range;
      const { tickvals, ticktext } = ticks(low, high);
      if (String(axis.tickvals?.filter((tick) => low <= tick && tick <= high)) !== String(tickvals)) {
        Object.assign(change, { [`${name}.tickmode`]: "array", [`${name}.tickvals`]: tickvals, [`${name}.ticktext`]: ticktext });
      }
    }
    if (Object.keys(change).length) Plotly.relayout(place, change);
  };

  const draw = async (plot) => {
    const place = document.getElementById(plot.id);
    const narrow = place.clientWidth < 500;
    const layout = { ...structuredClone(plot.layout), uirevision: "kept" };
    layout.margin = narrow ? { l: 62, r: 8, t: 24, b: 40 } : { l: 90, r: 16, t: 28, b: 40 };
    if (narrow) layout.font = { size: 10 };
    const config = { responsive: true, displaylogo: false, scrollZoom: false };
    const traces = tracesOf(plot);
    for (const name of plot.bytes) foretick(layout, name, traces);
    await Plotly.newPlot(place, traces, dressed(layout), config);
    retick(place, plot.bytes);
    place.on("plotly_relayout", () => retick(place, plot.bytes));
  };

  // In other colours, zoomed as before.
  const redraw = (plot, more) => {
    const place = document.getElementById(plot.id);
    Plotly.react(place, tracesOf(plot), { ...dressed(place.layout), ...more });
  };

  const print = (on) => {
    printing = on;
    for (const plot of plots) {
      document.getElementById(plot.id).style.width = on ? `${PRINTED}px` : "";
      redraw(plot, { width: on ? PRINTED : undefined, autosize: !on });
    }
  };

  dark.addEventListener("change", () => plots.forEach((plot) => redraw(plot)));
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
    const value = ({ words, values }, row) => (words ? words[values ? values[row] : 0] : values[row]);
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
