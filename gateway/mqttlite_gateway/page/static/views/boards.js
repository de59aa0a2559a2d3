// Boards: a device of one's own for each, what is written onto them, what they are to run.

import { h } from "../dom.js";

export class Boards {
  constructor() {
    this.node = h("section", {}, h("h2", {}, "Boards"));
  }

  update() {}
}
