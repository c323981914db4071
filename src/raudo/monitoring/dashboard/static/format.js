// How numbers read. The exact value always stays in the element's data-value and title.

const NONE = "\u2013";
const THIN = "\u202f";

const significant = (value, digits) =>
  value.toLocaleString("en", { maximumSignificantDigits: digits, useGrouping: true });

const scaled = (value, steps, digits = 3) => {
  const size = Math.abs(value);
  for (const [least, factor, unit] of steps) {
    if (size >= least) return significant(value / factor, digits) + THIN + unit;
  }
  const [, factor, unit] = steps[steps.length - 1];
  return significant(value / factor, digits) + THIN + unit;
};

const COUNTS = [[1e12, 1e12, "T"], [1e9, 1e9, "G"], [1e6, 1e6, "M"], [1e4, 1e3, "k"]];
const BYTES = [[1e12, 1e12, "TB"], [1e9, 1e9, "GB"], [1e6, 1e6, "MB"], [1e3, 1e3, "kB"], [0, 1, "B"]];
const TIMES = [[1, 1, "s"], [1e-3, 1e-3, "ms"], [1e-6, 1e-6, "\u00b5s"], [0, 1e-9, "ns"]];

const count = (value) => {
  if (Math.abs(value) >= 1e4) return scaled(value, COUNTS);
  return significant(value, Math.abs(value) >= 100 ? 4 : 3);
};

const percent = (value) => {
  const rounding = Math.abs(value) < 1 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: 1 };
  return value.toLocaleString("en", rounding) + THIN + "%";
};

const UNITS = {
  "count": count,
  "1/s": (value) => count(value) + THIN + "/s",
  "ratio": (value) => percent(100 * value),
  "%": percent,
  "s": (value) => (value === 0 ? "0" + THIN + "s" : scaled(value, TIMES)),
  "bytes": (value) => scaled(value, BYTES),
};

export const format = (value, unit) =>
  value === null || value === undefined || !Number.isFinite(value)
    ? NONE
    : (UNITS[unit] ?? count)(value);

export const clock = (seconds) =>
  new Date(1000 * seconds).toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export const ago = (seconds) => {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))}${THIN}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}${THIN}min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}${THIN}h ${Math.floor((seconds % 3600) / 60)}${THIN}min`;
  return `${Math.floor(seconds / 86400)}${THIN}d ${Math.floor((seconds % 86400) / 3600)}${THIN}h`;
};
