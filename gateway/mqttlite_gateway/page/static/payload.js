// A payload as text, or as hexadecimal numbers where it is none.

import { h } from "./dom.js";

export function payload(message, most = 160) {
  const isText = message.text !== undefined;
  const text = isText ? message.text : message.hex;
  const isLong = text.length > most || message.cut;
  return h("code", { class: isText ? "payload" : "payload hex", title: isText ? null : "not text: bytes as hexadecimal numbers" },
    text === "" ? h("span", { class: "dim" }, "empty") : text.slice(0, most), isLong ? "…" : "");
}

/** All of it that is there, JSON with its levels. */
export function whole(message) {
  let text = message.text ?? message.hex;
  if (message.text !== undefined && !message.cut && /^\s*[[{]/.test(text)) {
    try {
      text = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      // it only looks like it
    }
  }
  return h("pre", { class: "payload" }, text, message.cut ? `\n… the beginning of ${message.bytes} bytes` : "");
}
