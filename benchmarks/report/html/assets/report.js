"use strict";
// The page's script: sorting and hiding rows, charts, and the comparison of pictures.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  // Okabe and Ito's palette for colour-blind readers; shapes tell apart what colours repeat.
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
  const SHAPES = ["circle", "square", "diamond", "cross", "triangle-up", "star"];
  const colourOf = (index) => COLOURS[index % COLOURS.length];
  const shapeOf = (index) => SHAPES[Math.floor(index / COLOURS.length) % SHAPES.length];

  // ---- table ----
  const table = byId("figures");
  const body = table.tBodies[0];
  const lines = [...body.rows];

  // The number that a cell starts with; texts without one sort behind, "identical" is infinite.
  function sortKey(text) {
    const found = text.trim().match(/^[-+]?\d+(\.\d+)?/);
    if (found) return Number(found[0]);
    return /^(identical|infinite)/.test(text.trim()) ? Infinity : NaN;
  }

  function sortBy(header) {
    const column = [...header.parentNode.children].indexOf(header);
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    const cells = lines.map((line) => line.cells[column].textContent.trim());
    const numeric = cells.some((text) => !Number.isNaN(sortKey(text))) && !lines[0].cells[column].matches("th");
    const keyed = lines.map((line, index) => ({ line, text: cells[index], key: sortKey(cells[index]) }));
    keyed.sort((a, b) => {
      if (!numeric) return (ascending ? 1 : -1) * a.text.localeCompare(b.text);
      if (Number.isNaN(a.key) || Number.isNaN(b.key)) return Number.isNaN(a.key) - Number.isNaN(b.key);
      return a.key === b.key ? 0 : (ascending ? 1 : -1) * (a.key < b.key ? -1 : 1);
    });
    body.append(...keyed.map((each) => each.line));
    for (const other of header.parentNode.children) {
      if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
    }
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  }

  for (const header of table.tHead.rows[0].cells) {
    const button = header.querySelector("button");
    if (button) button.addEventListener("click", () => sortBy(header));
  }

  const isShown = (line) => !line.hidden && line.querySelector("input").checked;
  const shownRows = () =>
    lines.filter(isShown).map((line) => ({ ...data.rows[line.dataset.row], index: Number(line.dataset.row) }));

  function applyFilter() {
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const line of lines) {
      line.hidden = !words.every((word) => line.textContent.toLowerCase().includes(word));
      line.classList.toggle("dimmed", !line.querySelector("input").checked);
    }
    const visible = lines.filter((line) => !line.hidden).length;
    byId("count").textContent = `${visible} of ${lines.length} rows, ${shownRows().length} in the charts`;
    drawCharts();
  }
  byId("filter").addEventListener("input", applyFilter);
  body.addEventListener("change", applyFilter);
  byId("all").addEventListener("click", () => {
    byId("filter").value = "";
    for (const line of lines) line.querySelector("input").checked = true;
    applyFilter();
  });

  // ---- charts ----
  function layoutOf(x, y, more = {}) {
    const style = getComputedStyle(document.documentElement);
    const value = (name) => style.getPropertyValue(name).trim();
    const axis = { gridcolor: value("--line"), zerolinecolor: value("--line"), automargin: true };
    return {
      paper_bgcolor: value("--paper"),
      plot_bgcolor: value("--paper"),
      font: { color: value("--ink"), family: "system-ui, sans-serif", size: 13 },
      margin: { l: 60, r: 20, t: 20, b: 50 },
      legend: { orientation: "h", y: -0.2 },
      hovermode: "closest",
      xaxis: { ...axis, title: { text: x } },
      yaxis: { ...axis, title: { text: y } },
      ...more,
    };
  }

  function draw(id, traces, layout) {
    byId(id).parentNode.hidden = traces.length === 0;
    if (traces.length > 0) {
      Plotly.react(id, traces, layout, { displaylogo: false, responsive: true });
    }
  }

  const bars = (times) => ({
    type: "data",
    symmetric: false,
    array: times.map((time) => time.p95_ms - time.median_ms),
    arrayminus: times.map((time) => time.median_ms - time.p5_ms),
  });

  function drawPareto(rows) {
    const found = rows.filter((row) => row.time && row.psnr_db !== null);
    const largest = Math.max(1, ...found.map((row) => row.bytes || 0));
    const traces = found.map((row) => ({
      type: "scatter",
      mode: "markers",
      name: row.label,
      x: [row.time.median_ms],
      y: [row.psnr_db],
      marker: {
        color: colourOf(row.index),
        symbol: shapeOf(row.index),
        size: row.bytes ? 10 + 34 * Math.sqrt(row.bytes / largest) : 10,
        opacity: 0.85,
      },
      hovertemplate: `%{x:.1f} ms, %{y:.2f} dB${row.bytes ? `, ${(row.bytes / 1e6).toFixed(2)} MB` : ""}`,
    }));
    draw("pareto", traces, layoutOf("infer, ms (median)", "PSNR, dB"));
  }

  function drawLatency(rows) {
    const traces = rows.filter((row) => row.time).map((row) => {
      const common = { name: row.label, y: undefined, marker: { color: colourOf(row.index) } };
      if (row.time.runs_ms.length > 0) {
        return { ...common, type: "box", x: row.time.runs_ms, orientation: "h", boxpoints: "all", jitter: 0.4, pointpos: 0 };
      }
      return { ...common, type: "scatter", mode: "markers", x: [row.time.median_ms], y: [row.label], error_x: bars([row.time]) };
    });
    const layout = layoutOf("infer, ms", "", { showlegend: false });
    layout.yaxis.autorange = "reversed";
    draw("latency", traces, layout);
  }

  function drawScaling(rows) {
    const series = new Map();
    for (const row of rows.filter((each) => each.time)) {
      series.set(row.engine, [...(series.get(row.engine) || []), row]);
    }
    const traces = [...series].filter(([, points]) => points.length > 1).map(([engine, points]) => {
      const sorted = [...points].sort((a, b) => a.time.megapixels - b.time.megapixels);
      const times = sorted.map((row) => row.time);
      return {
        type: "scatter",
        mode: "lines+markers",
        name: engine,
        x: times.map((time) => time.megapixels),
        y: times.map((time) => time.median_ms),
        error_y: bars(times),
        marker: { color: colourOf(sorted[0].index) },
        line: { color: colourOf(sorted[0].index) },
      };
    });
    const layout = layoutOf("megapixels", "infer, ms (median)");
    layout.xaxis.rangemode = layout.yaxis.rangemode = "tozero";
    draw("scaling", traces, layout);
  }

  function drawScatter(rows) {
    const traces = rows.filter((row) => row.scores.length > 0).map((row) => ({
      type: "scatter",
      mode: "markers",
      name: row.label,
      x: row.scores.map((score) => score.blurry_db),
      y: row.scores.map((score) => score.gain_db),
      text: row.scores.map((score) => score.name),
      marker: { color: colourOf(row.index), symbol: shapeOf(row.index), size: 9 },
      hovertemplate: "%{text}: %{x:.2f} dB, %{y:+.2f} dB",
    }));
    draw("scatter", traces, layoutOf("PSNR of the blurry picture, dB", "gain, dB"));
  }

  function drawCompressions() {
    data.compressions.forEach((run, number) => {
      const traces = run.points.map((point, index) => ({
        type: "scatter",
        mode: "markers",
        name: point.name,
        x: [point.cost],
        y: [point.gain_db],
        marker: { color: colourOf(index), symbol: shapeOf(index), size: 12 },
        hovertemplate: `%{x:.4g} ${run.unit}, %{y:+.3f} dB`,
      }));
      const edge = { type: "line", x0: run.budget, x1: run.budget, yref: "paper", y0: 0, y1: 1, line: { dash: "dot" } };
      draw(`compression-${number}`, traces, layoutOf(run.unit, "mean gain, dB", { shapes: [edge] }));
    });
  }

  function drawCharts() {
    const rows = shownRows();
    drawPareto(rows);
    drawLatency(rows);
    drawScaling(rows);
    drawScatter(rows);
    drawCompressions();
    byId("charts").hidden = [...document.querySelectorAll("#charts figure")].every((each) => each.hidden);
  }

  // ---- theme ----
  function setTheme(dark) {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    byId("theme").setAttribute("aria-pressed", String(dark));
    drawCharts();
  }
  byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));

  applyFilter();
  setTheme(window.matchMedia("(prefers-color-scheme: dark)").matches);

  // ---- pictures ----
  if (!byId("gallery")) return;
  const pictureOf = () => data.pictures[byId("picture").value];
  const addressOf = (kind) => {
    const picture = pictureOf();
    return kind === "before" || kind === "sharp" ? picture[kind] : picture.after[kind.slice(1)];
  };
  const engines = [...new Set(data.pictures.flatMap((picture) => Object.keys(picture.after)))];
  const addOption = (select, value, text) => select.add(new Option(text, value));

  data.pictures.forEach((picture, index) => addOption(byId("picture"), index, picture.name));
  for (const side of ["left", "right"]) {
    addOption(byId(side), "before", "before");
    // The dash keeps an engine that is called "sharp" apart from the sharp picture.
    for (const engine of engines) addOption(byId(side), `-${engine}`, `after: ${engine}`);
    addOption(byId(side), "sharp", "sharp");
  }
  byId("right").value = engines.length > 0 ? `-${engines[engines.length - 1]}` : "sharp";

  async function load(address) {
    const image = new Image();
    image.src = address;
    await image.decode();
    return image;
  }

  function pixelsOf(image) {
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }

  // |left - right| times the gain; or, with one picture that holds a difference already, that.
  function showDifference(first, second, factor) {
    const result = pixelsOf(first);
    const other = second ? pixelsOf(second).data : null;
    for (let place = 0; place < result.data.length; place += 4) {
      for (let channel = place; channel < place + 3; channel += 1) {
        const value = other ? Math.abs(result.data[channel] - other[channel]) : result.data[channel];
        result.data[channel] = Math.min(255, factor * value);
      }
      result.data[place + 3] = 255;
    }
    const canvas = byId("difference");
    canvas.width = result.width;
    canvas.height = result.height;
    canvas.getContext("2d", { willReadFrequently: true }).putImageData(result, 0, 0);
  }

  function setZoom(width) {
    const zoom = byId("zoom").value;
    const stage = document.querySelector(".stage");
    stage.classList.toggle("fit", zoom === "fit");
    stage.classList.toggle("pixels", zoom !== "fit");
    for (const element of [byId("left-picture"), byId("right-picture"), byId("difference")]) {
      element.style.width = zoom === "fit" ? "" : `${(width * Number(zoom)) / window.devicePixelRatio}px`;
      element.classList.toggle("pixels", zoom !== "fit");
    }
  }

  let turn = 0;
  async function showPictures() {
    turn += 1;
    const mine = turn;
    const [left, right, view] = [byId("left").value, byId("right").value, byId("view").value];
    const drift = pictureOf().drift[right.slice(1)];
    byId("gain-value").textContent = byId("gain").value;
    byId("gain-label").hidden = view === "slider";
    byId("slider").hidden = view !== "slider";
    byId("difference").hidden = view === "slider" || (view === "drift" && !drift);
    byId("no-drift").hidden = !(view === "drift" && !drift);
    const [first, second] = await Promise.all([load(addressOf(left)), load(addressOf(right))]);
    if (mine !== turn) return; // another choice came meanwhile
    for (const [side, kind, image] of [["left", left, first], ["right", right, second]]) {
      const element = byId(`${side}-picture`);
      element.src = image.src;
      element.alt = `${pictureOf().name}, ${kind.replace(/^-/, "after: ")}`;
    }
    setZoom(first.naturalWidth);
    const gain = Number(byId("gain").value);
    if (view === "difference") showDifference(first, second, gain);
    if (view === "drift" && drift) {
      const stored = await load(drift);
      if (mine === turn) showDifference(stored, null, gain / pictureOf().scale);
    }
  }
  for (const id of ["picture", "left", "right", "zoom", "view", "gain"]) {
    byId(id).addEventListener("input", showPictures);
  }
  showPictures();
})();
