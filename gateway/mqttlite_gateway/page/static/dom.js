// Elements made by name. Whatever comes from outside becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** An element of HTML: h("p", {class: "dim"}, "text", h("b", {}, name)). */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same of SVG. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Replace what is in an element. */
export function put(element, ...children) {
  element.replaceChildren();
  add(element, children);
  return element;
}

/** Set its text, where it is another one: a selection stays, and a screen reader says nothing twice. */
export function say(element, text) {
  text = String(text);
  if (element.textContent !== text) element.textContent = text;
}

/** Set or remove an attribute, where it is another one. */
export function mark(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value === true ? "" : String(value));
}

/**
 * One child for each item, in their order, behind `after`; those that are there already stay what they are, with focus
 * and selection. make(item) returns {node, update(item)}.
 */
export class Rows {
  constructor(parent, make, after = null) {
    this.parent = parent;
    this.make = make;
    this.after = after; // what stays in front of them
    this.rows = new Map();
  }

  show(items, keyOf) {
    const keys = new Set();
    let at = this.after ? this.after.nextElementSibling : this.parent.firstElementChild;
    for (const item of items) {
      const key = keyOf(item);
      keys.add(key);
      let row = this.rows.get(key);
      if (!row) {
        row = this.make(item);
        this.rows.set(key, row);
      }
      row.update?.(item);
      if (row.node === at) at = at.nextElementSibling;
      else this.parent.insertBefore(row.node, at);
    }
    for (const [key, row] of this.rows) {
      if (keys.has(key)) continue;
      row.gone?.();
      row.node.remove();
      this.rows.delete(key);
    }
  }
}

/** A sign with a word for who does not see it: ok, warn, bad, off. */
export function sign(kind, word) {
  const signs = { ok: "●", warn: "▲", bad: "✕", off: "○" };
  return h("span", { class: `sign ${kind}`, title: word }, h("span", { "aria-hidden": "true" }, signs[kind]), h("span", { class: "sr" }, word));
}
