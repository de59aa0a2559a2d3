// The way of one message as a sequence chart: a lane for each place, time downwards, what happened where and when.

import { h, s } from "./dom.js";
import { clock, seconds } from "./words.js";

const STEP = 38;
const TOP = 34;
const LEFT = 96;
const LONG_MS = 10000; // a wait that is drawn as one

export function chart(way) {
  const lanes = way.lanes.length ? way.lanes : ["gateway"];
  const between = Math.max(150, Math.min(260, 760 / lanes.length));
  const x = new Map(lanes.map((lane, index) => [lane, LEFT + 50 + index * between]));
  const at = (lane) => x.get(lane) ?? LEFT + 50;
  const parts = [];
  let y = TOP + 14;
  let before = null;
  for (const step of way.steps) {
    if (before !== null && step.at_ms - before > LONG_MS) {
      parts.push(s("line", { class: "gap", x1: LEFT + 20, x2: LEFT + 80 + (lanes.length - 1) * between, y1: y - 6, y2: y - 6 }));
      parts.push(s("text", { class: "label", x: 4, y: y - 2 }, `+ ${seconds((step.at_ms - before) / 1000)}`));
      y += 22;
    }
    before = step.at_ms;
    parts.push(s("text", { class: "label", x: 4, y: y + 4 }, clock(step.at_ms, true)));
    parts.push(...event(step, at(step.from), at(step.to), y, between));
    y += STEP;
  }
  const height = y + 6;
  const width = LEFT + 100 + (lanes.length - 1) * between + 150;
  const columns = lanes.map((lane) => [
    s("line", { class: "lane", x1: at(lane), x2: at(lane), y1: TOP - 6, y2: height - 8 }),
    s("text", { class: "title middle", x: at(lane), y: 18 }, shortened(lane, 26)),
  ]);
  return h("div", { class: "scroll" }, s("svg", { class: "chart", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": told(way) }, columns, parts));
}

function event(step, from, to, y, between) {
  const words = step.detail ? `${step.what}: ${step.detail}` : step.what;
  const kind = step.what === "ended" ? "bad" : ["acknowledged", "handled"].includes(step.what) ? "ok" : "";
  if (from === to) {
    return [
      s("circle", { class: `dot ${kind}`, cx: from, cy: y, r: 4.5 }),
      s("text", { class: "word", x: from + 10, y: y + 4 }, shortened(words, 44)),
    ];
  }
  const side = to > from ? 1 : -1;
  const tip = to - side * 2;
  return [
    s("line", { class: `arrow ${kind}`, x1: from, x2: tip, y1: y, y2: y + 8 }),
    s("path", { class: `tip ${kind}`, d: `M${tip} ${y + 8}l${-side * 9} -5v9z` }),
    s("text", { class: "word middle", x: (from + to) / 2, y: y - 3 }, shortened(words, Math.floor(Math.abs(to - from) / 6.4) || Math.floor(between / 7))),
  ];
}

function shortened(text, most) {
  return text.length > most ? text.slice(0, most - 1) + "…" : text;
}

/** The same for who does not see it. */
function told(way) {
  const steps = way.steps.map((step) => `${clock(step.at_ms, true)} ${step.what}, ${step.from === step.to ? `at ${step.from}` : `from ${step.from} to ${step.to}`}${step.detail ? `, ${step.detail}` : ""}`);
  return `Way of message ${way.key} on ${way.topic}: ${steps.join("; ")}`;
}
