"use strict";
// Numbers as people read them. All of these return text.

function count(value) {
  return Math.round(value).toLocaleString("en");
}

function rate(value) {
  if (value === undefined) return "–";
  return value > 0 && value < 9.95 ? value.toFixed(1) : count(value);
}

function seconds(value) {
  if (!(value > 0)) return "–";
  if (value < 0.9995e-3) return `${Math.round(value * 1e6)} µs`;
  if (value < 0.9995) return `${Number((value * 1e3).toPrecision(3))} ms`;
  if (value < 60) return `${Number(value.toPrecision(3))} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${Math.floor(value % 60)} s`;
  if (value < 86400) return `${Math.floor(value / 3600)} h ${Math.floor((value % 3600) / 60)} min`;
  return `${Math.floor(value / 86400)} d ${Math.floor((value % 86400) / 3600)} h`;
}

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  for (; value >= 1024 && at < units.length - 1; ++at) value /= 1024;
  return `${Number(value.toPrecision(3))} ${units[at]}`;
}

function clock(milliseconds) {
  return new Date(milliseconds).toLocaleTimeString([], {hour: "2-digit", minute: "2-digit"});
}

// "FAILED 3, TIMEOUT 1", the commonest first.
function codes(errors) {
  return Object.entries(errors)
    .sort((a, b) => b[1] - a[1])
    .map(([code, times]) => `${code} ${count(times)}`)
    .join(", ");
}
