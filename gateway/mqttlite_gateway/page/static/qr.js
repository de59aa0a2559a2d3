// A QR code, from a text of 0 and 1 for each row.

import { s } from "./dom.js";

const EDGE = 4; // cells without anything, as the standard wants them

export function qr(rows, words) {
  const size = rows.length + 2 * EDGE;
  let path = "";
  rows.forEach((row, y) => [...row].forEach((cell, x) => {
    if (cell === "1") path += `M${x + EDGE} ${y + EDGE}h1v1h-1z`;
  }));
  return s("svg", { class: "qr", viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": words, "shape-rendering": "crispEdges" },
    s("rect", { width: size, height: size, fill: "#fff" }), s("path", { d: path, fill: "#000" }));
}
