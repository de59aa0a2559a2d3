// A plot over time, drawn as SVG: a few series, gaps where nothing is known, and what stands under the pointer, or under
// the mark that arrow keys move.

import { h, put, s } from "./dom.js";
import { number } from "./words.js";

const HEIGHT = 104;
const LEFT = 54;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 18;

/** A round number that is at least `value`: 1, 2, 5, 10, ... */
function round(value) {
  if (!(value > 0)) return 1;
  const step = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((each) => each * step).find((each) => each >= value * 0.999);
}

function known(values) {
  return values.filter((value) => value !== null);
}

export class Plot {
  /** series: [{name, kind}]; kind is the class of its line: a, b or c. `format`: of a value. */
  constructor({ title, series, format = number }) {
    this.series = series;
    this.format = format;
    this.title = title;
    this.values = series.map(() => []);
    this.span = "hour";
    this.at = null; // index under the pointer
    this.readout = h("span", { class: "readout", "aria-live": "off" });
    this.svg = s("svg", { class: "plot", height: HEIGHT, role: "img", tabindex: "0" });
    this.node = h("figure", { class: "figure" },
      h("figcaption", {}, h("b", {}, title), this.readout), this.svg);
    this.svg.addEventListener("pointermove", (event) => this._point(event));
    this.svg.addEventListener("pointerleave", () => this._move(null));
    this.svg.addEventListener("blur", () => this._move(null));
    this.svg.addEventListener("keydown", (event) => this._key(event));
    this._seen = new ResizeObserver(() => this.draw());
    this._seen.observe(this.node);
  }

  gone() {
    this._seen.disconnect();
  }

  /** values: an array for each series, null where nothing is known; `at_s`: the time of the last. */
  show(values, at_s, step_s) {
    this.values = values;
    this.at_s = at_s;
    this.step_s = step_s;
    this.draw();
  }

  draw() {
    const width = Math.floor(this.node.clientWidth);
    const count = this.values[0].length;
    if (!width || !count) return;
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const greatest = round(Math.max(0, ...this.values.flatMap(known)));
    const x = (index) => LEFT + (index / (count - 1)) * (width - LEFT - RIGHT);
    const y = (value) => HEIGHT - BOTTOM - (value / greatest) * (HEIGHT - TOP - BOTTOM);
    this.x = x;
    this.y = y;
    this.width = width;
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      const at = y(greatest * share);
      parts.push(s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: at, y2: at }));
      parts.push(s("text", { class: "label end", x: LEFT - 6, y: at + 3.5 }, this.format(greatest * share)));
    }
    for (const [index, label] of this._times(count, width)) {
      parts.push(s("text", { class: "label middle", x: x(index), y: HEIGHT - 4 }, label));
    }
    this.series.forEach((each, number) => {
      const path = this._path(this.values[number], x, y);
      if (number === 0) parts.push(s("path", { class: `area ${each.kind}`, d: this._area(this.values[number], x, y) }));
      parts.push(s("path", { class: `wire ${each.kind}`, d: path }));
    });
    this.mark = s("g", {});
    put(this.svg, parts, this.mark);
    this.svg.setAttribute("aria-label", this._summary());
    this._move(this.at);
  }

  _times(count, width) {
    const all = this.step_s * (count - 1);
    const steps = [60, 300, 600, 900, 1800, 3600, 7200, 14400, 21600];
    const every = steps.find((each) => (all / each) * 62 < width - LEFT) ?? 43200;
    const offset = new Date().getTimezoneOffset() * 60;
    const found = [];
    for (let at = Math.floor((this.at_s - offset) / every) * every + offset; at > this.at_s - all; at -= every) {
      const index = count - 1 - (this.at_s - at) / this.step_s;
      const px = (index / (count - 1)) * (width - LEFT - RIGHT);
      if (px > 14 && px < width - LEFT - RIGHT - 12) found.push([index, time(at)]);
    }
    return found;
  }

  _path(values, x, y) {
    let path = "";
    let isDown = false;
    values.forEach((value, index) => {
      if (value === null) isDown = false;
      else {
        path += `${isDown ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
        if (!isDown && (values[index + 1] ?? null) === null) path += "h0.1"; // one alone is a dot
        isDown = true;
      }
    });
    return path;
  }

  _area(values, x, y) {
    let path = "";
    let first = -1;
    values.forEach((value, index) => {
      if (value === null) return;
      if (first < 0) {
        first = index;
        path += `M${x(index).toFixed(1)} ${y(0).toFixed(1)}`;
      }
      path += `L${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
      if (index === values.length - 1 || values[index + 1] === null) {
        path += `L${x(index).toFixed(1)} ${y(0).toFixed(1)}Z`;
        first = -1;
      }
    });
    return path;
  }

  _summary() {
    const words = this.series.map((each, number) => {
      const found = known(this.values[number]);
      if (!found.length) return `${each.name}: nothing known`;
      return `${each.name}: ${this.format(found.at(-1))} now, ${this.format(Math.max(...found))} at most`;
    });
    return `${this.title}. ${words.join("; ")}. Arrow keys read it out.`;
  }

  _point(event) {
    const box = this.svg.getBoundingClientRect();
    const count = this.values[0].length;
    const index = Math.round(((event.clientX - box.left - LEFT) / (this.width - LEFT - RIGHT)) * (count - 1));
    this._move(Math.max(0, Math.min(count - 1, index)));
  }

  _key(event) {
    const count = this.values[0].length;
    const at = this.at ?? count - 1;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: count - 1, PageUp: at - 30, PageDown: at + 30 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.readout.setAttribute("aria-live", "polite");
    this._move(Math.max(0, Math.min(count - 1, to)));
  }

  _move(index) {
    this.at = index;
    if (!this.mark) return;
    const count = this.values[0].length;
    const shown = index ?? count - 1;
    const words = this.series.map((each, number) => [each, this.values[number][shown]]);
    const parts = words.map(([each, value]) => [h("i", { class: `key ${each.kind}` }), `${each.name} ${value === null ? "–" : this.format(value)} `]);
    put(this.readout, index === null ? null : h("span", { class: "dim" }, time(this.at_s - (count - 1 - index) * this.step_s), " "), parts);
    put(this.mark);
    if (index === null) return;
    this.mark.append(s("line", { class: "mark", x1: this.x(index), x2: this.x(index), y1: TOP, y2: HEIGHT - BOTTOM }));
    words.forEach(([each, value]) => {
      if (value !== null) this.mark.append(s("circle", { class: `wire ${each.kind}`, cx: this.x(index), cy: this.y(value), r: 2.5 }));
    });
  }
}

function time(at_s) {
  return new Date(at_s * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

/** A small one without axes, for a row of a table. */
export class Spark {
  constructor(name) {
    this.path = s("path", { class: "wire a" });
    this.area = s("path", { class: "area a" });
    this.node = s("svg", { class: "spark", viewBox: "0 0 120 22", preserveAspectRatio: "none", role: "img", "aria-label": name }, this.area, this.path);
  }

  show(values) {
    const greatest = Math.max(1, ...known(values));
    const x = (index) => (index / Math.max(1, values.length - 1)) * 120;
    const y = (value) => 21 - (value / greatest) * 19;
    this.path.setAttribute("d", Plot.prototype._path(values, x, y));
    this.area.setAttribute("d", Plot.prototype._area(values, x, y));
  }
}

