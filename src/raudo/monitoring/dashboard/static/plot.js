// A plot of lines over time on a canvas: grid, lines, an area under a lone line, a crosshair that all
// plots share. The numbers stand beside it as text, for those who do not see the picture.

import { clock, format } from "./format.js";

const N_COLOURS = 6;
const MARGIN = { left: 50, right: 8, top: 8, bottom: 20 };

const niceCeiling = (value, isWhole) => {
  if (!(value > 0)) return isWhole ? 4 : 1;
  if (isWhole && value <= 16) return 4 * Math.ceil(value / 4); // a grid of whole numbers
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((step) => step * power >= value * 1.0001) ?? 10);
};

// Where a time stands among rising times: the index of the nearest.
const nearest = (times, time) => {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low > 0 && time - times[low - 1] < times[low] - time ? low - 1 : low;
};

export class Plot {
  // `shared.time` is where the crosshair of all plots stands; `shared.redraw()` draws all.
  constructor({ title, unit, note }, shared) {
    this.title = title;
    this.unit = unit;
    this.shared = shared;
    this.times = [];
    this.lines = new Map();
    this.span = 300;
    this.isShare = unit === "ratio";
    this.root = document.createElement("figure");
    this.root.className = "plot";
    const heading = document.createElement("figcaption");
    const name = document.createElement("h2");
    name.textContent = title;
    const aside = document.createElement("span");
    aside.className = "note";
    aside.textContent = note ?? "";
    heading.append(name, aside);
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.legend = document.createElement("ul");
    this.legend.className = "legend";
    this.root.append(heading, this.canvas, this.legend);
    this.context = this.canvas.getContext("2d");
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    this.canvas.addEventListener("pointermove", (event) => {
      const box = this.canvas.getBoundingClientRect();
      const width = box.width - MARGIN.left - MARGIN.right;
      const share = (event.clientX - box.left - MARGIN.left) / width;
      shared.time = this.start + Math.min(1, Math.max(0, share)) * this.span;
      shared.redraw();
    });
    this.canvas.addEventListener("pointerleave", () => {
      shared.time = null;
      shared.redraw();
    });
  }

  get start() {
    return (this.times[this.times.length - 1] ?? 0) - this.span;
  }

  // What is not yet known of the range takes no room, but for the first minute.
  set(times, lines, range) {
    this.times = times;
    this.lines = lines;
    this.span = Math.min(range, Math.max(60, (times[times.length - 1] ?? 0) - (times[0] ?? 0)));
    this.draw();
  }

  draw() {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const style = getComputedStyle(this.root);
    const colour = (name) => style.getPropertyValue(name).trim();
    const pen = this.context;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = `11px ${style.fontFamily}`;

    let highest = 0;
    for (const values of this.lines.values()) for (const value of values) if (value > highest) highest = value;
    const top = this.isShare && highest <= 1 ? 1 : niceCeiling(highest, this.unit === "count");
    const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const x = (time) => MARGIN.left + (inner.width * (time - this.start)) / this.span;
    const y = (value) => MARGIN.top + inner.height * (1 - value / top);

    pen.strokeStyle = colour("--grid");
    pen.fillStyle = colour("--faint");
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (let step = 0; step <= 4; step += 1) {
      const at = Math.round(y((top * step) / 4)) + 0.5;
      pen.beginPath();
      pen.moveTo(MARGIN.left, at);
      pen.lineTo(width - MARGIN.right, at);
      pen.stroke();
      if (step % 2 === 0) pen.fillText(format((top * step) / 4, this.unit), MARGIN.left - 7, at);
    }
    pen.textBaseline = "alphabetic";
    if (this.times.length > 0) {
      for (const [share, align] of [[0, "left"], [0.5, "center"], [1, "right"]]) {
        pen.textAlign = align;
        pen.fillText(clock(this.start + share * this.span), MARGIN.left + share * inner.width, height - 5);
      }
    }

    pen.save();
    pen.beginPath();
    pen.rect(MARGIN.left, 0, inner.width, height);
    pen.clip();
    pen.lineWidth = 1.75;
    pen.lineJoin = "round";
    let number = 0;
    for (const values of this.lines.values()) {
      const stroke = colour(`--line-${(number % N_COLOURS) + 1}`);
      this.trace(values, x, y, stroke, this.lines.size === 1 ? y(0) : null);
      number += 1;
    }
    pen.restore();
    const index = this.crosshair(x, y, height, colour);
    this.describe(index);
  }

  trace(values, x, y, stroke, floor) {
    const pen = this.context;
    // A gap of more than three usual steps is shown as one.
    const usual = this.times.length > 1 ? (this.times[this.times.length - 1] - this.times[0]) / (this.times.length - 1) : 0;
    const runs = [];
    let run = null;
    for (let i = 0; i < this.times.length; i += 1) {
      const value = values[i];
      const isNear = i > 0 && this.times[i] - this.times[i - 1] <= Math.max(3 * usual, 15);
      if (value === null || value === undefined) {
        run = null;
        continue;
      }
      if (run === null || !isNear) {
        run = [];
        runs.push(run);
      }
      run.push([x(this.times[i]), y(value)]);
    }
    pen.strokeStyle = stroke;
    pen.fillStyle = stroke;
    for (const points of runs) {
      if (points.length === 1) {
        pen.fillRect(points[0][0] - 1.5, points[0][1] - 1.5, 3, 3);
        continue;
      }
      pen.beginPath();
      points.forEach(([px, py], i) => (i ? pen.lineTo(px, py) : pen.moveTo(px, py)));
      pen.stroke();
      if (floor !== null) {
        pen.lineTo(points[points.length - 1][0], floor);
        pen.lineTo(points[0][0], floor);
        pen.globalAlpha = 0.1;
        pen.fill();
        pen.globalAlpha = 1;
      }
    }
  }

  crosshair(x, y, height, colour) {
    if (this.shared.time === null || this.times.length === 0) return null;
    const index = nearest(this.times, this.shared.time);
    const at = x(this.times[index]);
    const pen = this.context;
    pen.strokeStyle = colour("--faint");
    pen.lineWidth = 1;
    pen.setLineDash([3, 3]);
    pen.beginPath();
    pen.moveTo(at, MARGIN.top);
    pen.lineTo(at, height - MARGIN.bottom);
    pen.stroke();
    pen.setLineDash([]);
    let number = 0;
    for (const values of this.lines.values()) {
      number += 1;
      const value = values[index];
      if (value === null || value === undefined) continue;
      pen.fillStyle = colour(`--line-${((number - 1) % N_COLOURS) + 1}`);
      pen.beginPath();
      pen.arc(at, y(value), 3.5, 0, 2 * Math.PI);
      pen.fill();
    }
    return index;
  }

  // The legend holds the latest values, or those under the crosshair.
  describe(index) {
    const at = index ?? this.times.length - 1;
    const texts = [];
    let number = 0;
    for (const [name, values] of this.lines) {
      const value = values[at] ?? null;
      const text = format(value, this.unit);
      texts.push(`${name} ${text}`);
      let item = this.legend.children[number];
      if (item === undefined) {
        item = document.createElement("li");
        item.append(document.createElement("i"), document.createElement("span"), document.createElement("b"));
        this.legend.append(item);
      }
      item.children[0].className = `swatch line-${(number % N_COLOURS) + 1}`;
      item.children[1].textContent = name;
      item.children[2].textContent = text;
      item.children[2].dataset.value = value === null ? "" : String(value);
      number += 1;
    }
    while (this.legend.children.length > number) this.legend.lastChild.remove();
    const when = index === null ? "now" : `at ${clock(this.times[at])}`;
    this.canvas.setAttribute("aria-label", `${this.title}, ${when}: ${texts.join(", ") || "nothing yet"}`);
  }
}
