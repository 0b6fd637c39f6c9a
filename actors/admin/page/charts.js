// The last hour: three charts by Chart.js, if the build had it, and a table for who does not see them.

const chartsOf = {
  rates: {
    lines: [["answers", "answered", "--accent", []], ["errors", "errors", "--bad", [6, 3]]],
    format: rate,
  },
  hand: {
    lines: [["waiting", "waiting", "--bad", [6, 3]], ["in flight", "inFlight", "--accent", []]],
    format: count,
  },
  latency: {
    lines: [["half", "p50", "--good", []], ["90 %", "p90", "--accent", [6, 3]], ["99 %", "p99", "--third", [2, 3]]],
    format: seconds,
    logarithmic: true,
  },
};

class LastHour {
  constructor() {
    this.points = [];
    this.charts = new Map();
    this.table = new Table(document.querySelector("#hour table"), [
      {title: "From", value: row => row.from, text: row => clock(row.from)},
      {title: "Answers/s", number: true, value: row => row.answered, text: row => rate(row.answered)},
      {title: "Errors/s", number: true, value: row => row.errors, text: row => rate(row.errors)},
      {title: "Waiting", number: true, value: row => row.waiting, text: row => count(row.waiting)},
      {title: "In flight", number: true, value: row => row.inFlight, text: row => count(row.inFlight)},
      {title: "Half within", number: true, value: row => row.p50, text: row => seconds(row.p50)},
      {title: "99 % within", number: true, value: row => row.p99, text: row => seconds(row.p99)},
    ], {key: row => String(row.from)});
    const withCharts = typeof Chart !== "undefined";
    document.body.classList.toggle("without-charts", !withCharts);
    document.getElementById("hour").open = !withCharts;
    if (!withCharts) return;
    Chart.defaults.animation = false;
    Chart.defaults.font.family = "system-ui, sans-serif";
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.drawAll());
  }

  get last() {
    return this.points.at(-1);
  }

  clear() {
    this.points = [];
    this.drawAll();
  }

  // Points as the broker says them, whose ages are of now.
  add(points) {
    const now = Date.now();
    for (const [age, answered, errors, waiting, inFlight, p50, p90, p99] of points)
      this.points.push({at: now - age * 1000, answered, errors, waiting, inFlight, p50, p90, p99});
    this.points = this.points.filter(point => point.at > now - 3600e3);
    this.drawAll();
    this.table.show(this.byMinutes(5));
  }

  byMinutes(minutes) {
    const rows = new Map();
    for (const point of this.points) {
      const from = Math.floor(point.at / (minutes * 60e3)) * minutes * 60e3;
      const row = rows.get(from) ?? {from, points: 0, answered: 0, errors: 0, waiting: 0, inFlight: 0, p50: 0, p99: 0};
      rows.set(from, row);
      ++row.points;
      row.answered += (point.answered - row.answered) / row.points;
      row.errors += (point.errors - row.errors) / row.points;
      for (const worst of ["waiting", "inFlight", "p50", "p99"]) row[worst] = Math.max(row[worst], point[worst]);
    }
    return [...rows.values()];
  }

  drawAll() {
    const style = getComputedStyle(document.documentElement);
    for (const [id, what] of Object.entries(chartsOf)) {
      this.describe(id, what);
      if (typeof Chart !== "undefined") this.draw(id, what, name => style.getPropertyValue(name).trim());
    }
  }

  // What a chart shows, in words.
  describe(id, {lines, format}) {
    const {last} = this;
    const words = lines.map(([name, field]) => {
      const highest = Math.max(0, ...this.points.map(point => point[field]));
      return `${name} ${last ? format(last[field]) : "–"}, at most ${format(highest)}`;
    });
    setText(document.getElementById(`${id}-words`), words.join("; "));
  }

  draw(id, {lines, format, logarithmic}, colour) {
    const sets = lines.map(([label, field, stroke, borderDash]) => ({
      label,
      borderDash,
      borderColor: colour(stroke),
      backgroundColor: colour(stroke),
      borderWidth: 1.75,
      pointRadius: 0,
      data: this.points.map(point => ({x: point.at, y: logarithmic && point[field] === 0 ? NaN : point[field]})),
    }));
    const chart = this.charts.get(id) ?? this.make(id, format, logarithmic);
    const now = Date.now();
    const {x, y} = chart.options.scales;
    x.min = Math.min(now - 600e3, this.points[0]?.at ?? now); // a young broker has no hour yet
    x.max = now;
    for (const scale of [x, y]) {
      scale.grid.color = colour("--grid");
      scale.ticks.color = colour("--quiet");
    }
    chart.options.plugins.legend.labels.color = colour("--ink");
    chart.data.datasets = sets;
    chart.update();
  }

  make(id, format, logarithmic) {
    const chart = new Chart(document.getElementById(id), {
      type: "line",
      data: {datasets: []},
      options: {
        parsing: false,
        normalized: true,
        maintainAspectRatio: false,
        events: [],
        scales: {
          x: {
            type: "linear",
            grid: {},
            afterBuildTicks: axis => {
              const step = (axis.max - axis.min > 1800e3 ? 15 : 5) * 60e3;
              axis.ticks = [];
              for (let at = Math.ceil(axis.min / step) * step; at <= axis.max; at += step) axis.ticks.push({value: at});
            },
            ticks: {callback: clock, maxRotation: 0},
          },
          y: {
            type: logarithmic ? "logarithmic" : "linear",
            grid: {},
            beginAtZero: true,
            suggestedMax: logarithmic ? undefined : 1,
            ticks: {callback: value => (logarithmic && !/^1e/.test(value.toExponential()) ? "" : format(value)), maxTicksLimit: 6},
          },
        },
        plugins: {legend: {labels: {boxHeight: 1, boxWidth: 28}}, tooltip: {enabled: false}},
      },
    });
    this.charts.set(id, chart);
    return chart;
  }
}
