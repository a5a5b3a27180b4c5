// Draws what the page's data holds: distributions, read units by size, latency by throughput.
"use strict";
(() => {
  const result = JSON.parse(document.getElementById("result").textContent);
  const COLOURS = { legacy: "#b45309", optimized: "#1a5fb4" };
  const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
  const STROKES = ["──", "╌╌", "····", "─·─"];
  const OTHERS = ["#6b7280", "#2f855a", "#7c3aed", "#be185d"];
  const colour = (layout, n) => COLOURS[layout] || OTHERS[n % OTHERS.length];
  const AXIS = { grid: { stroke: "#eceef1" }, ticks: { stroke: "#c9cdd3" }, font: "12px sans-serif",
    labelFont: "12px sans-serif", labelSize: 22 };
  const number = (v) => v === null ? "" : v >= 100 ? Math.round(v).toLocaleString("en")
    : String(+v.toPrecision(3));

  // The tail drawn as wide as the body: 90%, 99% and 99.9% stand equally far apart.
  const tail = (share) => -Math.log10(1 - share);
  const TAILS = [0.5, 0.9, 0.99, 0.999];

  function draw(place, options) {
    place.replaceChildren();
    const width = place.clientWidth || 360;
    return new uPlot({ width, height: options.height || 230, legend: { live: true },
      cursor: { drag: { x: false, y: false } }, ...options.uplot }, options.data, place);
  }

  function logs(min, max) {
    const low = Math.pow(10, Math.floor(Math.log10(Math.max(min, 1e-3))));
    const high = Math.pow(10, Math.ceil(Math.log10(Math.max(max, min * 1.01, 1e-3))));
    return [low, high > low ? high : low * 10];
  }

  // One column of x for lines that have points of their own.
  function joined(lines) {
    const xs = [...new Set(lines.flatMap((line) => line.points.map((p) => p[0])))]
      .sort((a, b) => a - b);
    const ys = lines.map((line) => {
      const held = new Map(line.points);
      return xs.map((x) => (held.has(x) ? held.get(x) : null));
    });
    return [xs, ...ys];
  }

  function plot(place, lines, axes) {
    const data = joined(lines);
    draw(place, { data, height: axes.height, uplot: {
      scales: { x: { time: false, distr: axes.logX ? 3 : 1, range: axes.rangeX },
        y: { distr: axes.logY ? 3 : 1,
          range: axes.logY ? (u, a, b) => logs(a, b) : (u, a, b) => [0, Math.max(b * 1.08, 1e-9)] } },
      series: [{ label: axes.x, value: (u, v) => (axes.xText || number)(v) },
        ...lines.map((line) => ({ label: line.label, stroke: line.colour, width: 2,
          dash: line.dash, spanGaps: true, points: { show: axes.points === true, size: 6 },
          value: (u, v) => number(v) }))],
      axes: [{ ...AXIS, label: axes.x, ...(axes.ticks ? { splits: () => axes.ticks, filter: (u, vs) => vs } : {}),
        values: (u, vs) => vs.map(axes.xText || number) },
      { ...AXIS, label: axes.y, size: 58, values: (u, vs) => vs.map(axes.yText || number),
        ...(axes.logY ? { filter: (u, splits) => splits.map((v) =>
          Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6 ? v : null) } : {}) }],
    } });
  }

  function distributions(scenario) {
    for (const place of document.querySelectorAll("[data-distribution]")) {
      const rows = result.measurements.filter((row) => row.scenario === scenario
        && row.operation === place.dataset.distribution && row.curve.length);
      const lines = rows.map((row, n) => ({ label: row.layout, colour: colour(row.layout, n),
        dash: DASHES[n] && COLOURS[row.layout] ? [] : DASHES[1],
        points: row.curve.map(([share, ms]) => [tail(share), ms]) }));
      if (lines.length) {
        plot(place, lines, { x: "percentile", y: "ms", logY: true, ticks: TAILS.map(tail),
          xText: (v) => v === null ? "" : `${+(100 * (1 - Math.pow(10, -v))).toFixed(1)}%` });
      }
    }
  }

  function bySize(place, quantity, operations, label) {
    const lines = [];
    operations.forEach(([operation, words], n) => {
      for (const layout of ["legacy", "optimized"]) {
        const points = result.measurements
          .filter((r) => r.layout === layout && r.operation === operation && r[quantity] !== null)
          .map((r) => [r.messages, r[quantity]]);
        if (points.length) {
          lines.push({ label: `${layout}, ${words} ${STROKES[n]}`, colour: colour(layout), dash: DASHES[n], points });
        }
      }
    });
    const sizes = result.conditions.sizes;
    plot(place, lines, { x: "messages in the history", y: label, height: 300, logX: true,
      logY: quantity !== "recall", points: true,
      yText: quantity === "recall" ? (v) => `${Math.round(100 * v)}%` : number, ticks: sizes,
      rangeX: () => [sizes[0] / 1.4, sizes[sizes.length - 1] * 1.4] });
  }

  function load(place) {
    const lines = result.load.map((tested, n) => ({ label: `${tested.layout}, p99`,
      colour: colour(tested.layout, n), dash: [],
      points: tested.steps.filter((s) => s.latency_ms.p99).map((s) => [s.per_second, s.latency_ms.p99])
        .sort((a, b) => a[0] - b[0]) }));
    plot(place, lines, { x: "calls answered a second", y: "ms", height: 300, logY: true, points: true });
  }

  const chosen = document.getElementById("size");
  if (chosen) {
    chosen.addEventListener("change", () => distributions(chosen.value));
    distributions(chosen.value);
  }
  const READS = [["context_warm", "context"], ["context_cold", "context, cold"],
    ["search", "search"], ["session", "session"]];
  const units = document.getElementById("units");
  if (units) bySize(units, "read_units", READS, "read units a call");
  const found = document.getElementById("found");
  if (found) bySize(found, "recall", READS.slice(0, 3), "share of the evidence found");
  const loaded = document.getElementById("load");
  if (loaded) load(loaded);
})();
