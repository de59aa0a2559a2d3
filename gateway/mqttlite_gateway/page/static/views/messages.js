// Messages that somebody has to know about: in doubt, set aside, and the way that each one has taken.

import { chart } from "../chart.js";
import { h, mark, put, Rows, say } from "../dom.js";
import { get } from "../live.js";
import { payload } from "../payload.js";
import { bytes, clock, count } from "../words.js";

const WAYS_MS = 5000;
const STATES = {
  received: "QoS 2, taken over; the sender has not released it (PUBREL)",
  sent: "no acknowledgement yet: it may have arrived or not",
  released: "QoS 2, the receiver has it (PUBREC); PUBCOMP is missing",
};

export class Messages {
  constructor(live, tell) {
    this.live = live;
    this.tell = tell;
    this.key = "";
    this.aside = null;
    this.doubt = h("tbody", {});
    this.letters = h("tbody", {});
    this.noLetters = h("p", { class: "empty" }, "No message is set aside: every upstream has taken what it was sent.");
    this.leftOut = h("p", { class: "dim", hidden: true });
    this.lettersTable = h("table", { class: "rows" },
      h("thead", {}, h("tr", {}, ["Upstream", "Topic", "Message", "Why", ""].map((name) => h("th", { scope: "col" }, name)))), this.letters);
    this.all = h("p", { class: "bar act", hidden: true });
    this.queues = h("div", {});
    this.filter = h("input", { type: "search", id: "way-filter", placeholder: "part of a topic or key", "aria-label": "Find messages by topic or key", oninput: () => this.soon() });
    this.ways = h("tbody", {});
    this.noWays = h("p", { class: "empty" });
    this.chart = h("div", { class: "way" });
    this.waysTable = h("table", { class: "rows" },
      h("thead", {}, h("tr", {}, ["When", "Topic", "Key", "So far"].map((name) => h("th", { scope: "col" }, name)))), this.ways);
    this.node = h("div", {},
      h("section", {}, h("h2", {}, "Set aside"), this.all, h("div", { class: "scroll" }, this.lettersTable), this.noLetters, this.leftOut, this.queues),
      h("section", {}, h("h2", {}, "In doubt"),
        h("table", { class: "rows" }, h("thead", {}, h("tr", {}, ["Hop", "State of the handshake", "Messages"].map((name) => h("th", { scope: "col" }, name)))), this.doubt)),
      h("section", {}, h("h2", {}, "Ways"), h("p", { class: "bar" }, this.filter), this.chart, this.noWays, h("div", { class: "scroll" }, this.waysTable)));
    this.doubtRows = new Rows(this.doubt, () => new DoubtRow());
    this.letterRows = new Rows(this.letters, (letter) => new LetterRow(this, letter));
    this.wayRows = new Rows(this.ways, (way) => new WayRow(way));
    this.timer = setInterval(() => {
      this.loadWays();
      this.loadQueues();
    }, WAYS_MS);
    this.loadWays();
    this.loadQueues();
  }

  gone() {
    clearInterval(this.timer);
    clearTimeout(this.typing);
  }

  /** #messages/KEY shows the way of a message. */
  go([key]) {
    this.key = key ?? "";
    this.loadWay();
  }

  update() {
    this.doubtRows.show(this.live.get("doubt") ?? [], (each) => `${each.hop} ${each.state}`);
    const aside = this.live.all("uplink").map(([name, each]) => `${name} ${each.set_aside ?? 0}`).join();
    if (this.aside !== aside) {
      this.aside = aside;
      this.loadLetters();
    }
  }

  async loadLetters() {
    try {
      const found = await get("/api/set-aside");
      const letters = found.flatMap((each) => each.letters.map((letter) => ({ of: each.of, ...letter })));
      this.letterRows.show(letters, (letter) => `${letter.of} ${letter.id}`);
      this.lettersTable.hidden = !letters.length;
      this.noLetters.hidden = letters.length > 0;
      const names = found.filter((each) => each.letters.length > 1).map((each) => each.of);
      this.all.hidden = !names.length;
      if (this.allOf !== names.join()) put(this.all, names.flatMap((of) => [["retry", `Try all of ${of} again`], ["drop", `Drop all of ${of}`]].map(([what, words]) =>
        sure(words, what === "drop" ? "danger" : "", () => this.decideAll("/api/set-aside", { of, all: true, do: what })))));
      this.allOf = names.join();
      const left = found.reduce((sum, each) => sum + each.left_out, 0);
      this.leftOut.hidden = !left;
      say(this.leftOut, `${count(left)} more are not shown.`);
    } catch (error) {
      this.aside = null;
      this.tell(error.message, true);
    }
  }

  /** Queues of the broker inside that have dead messages. */
  async loadQueues() {
    try {
      const dead = (await get("/api/queues")).filter((queue) => queue.dead);
      const text = JSON.stringify(dead.map((queue) => [queue.name, queue.dead]));
      if (this.drawnQueues === text) return;
      this.drawnQueues = text;
      put(this.queues, dead.map((queue) => h("p", { class: "bar dead" },
        h("span", {}, `Queue ${queue.name}: ${count(queue.dead)} dead ${queue.dead === 1 ? "message" : "messages"}, tried often enough`), h("span", { class: "act" },
          sure("Try again", "", () => this.decideAll("/api/queues", { name: queue.name, do: "retry-dead" })),
          sure("Drop", "danger", () => this.decideAll("/api/queues", { name: queue.name, do: "drop-dead" }))))));
    } catch {
      // the next look has them
    }
  }

  async decideAll(path, request) {
    try {
      this.tell((await this.live.act(path, request)).words);
    } catch (error) {
      this.tell(error.message, true);
    }
    this.aside = null;
    this.update();
    this.loadQueues();
  }

  soon() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.loadWays(), 250);
  }

  async loadWays() {
    if (this.live.me && !this.live.me.has_ledger) {
      this.waysTable.hidden = true;
      this.filter.hidden = true;
      say(this.noWays, "The gateway keeps no ledger. A table [ledger] in its file has it note where each message with a key has been.");
      return;
    }
    try {
      const ways = await get("/api/ways", { filter: this.filter.value });
      this.waysTable.hidden = !ways.length;
      this.noWays.hidden = ways.length > 0;
      say(this.noWays, this.filter.value ? "No message that the ledger knows has this in its topic or key." : "The ledger knows no message yet.");
      this.wayRows.show(ways, (way) => way.key);
      for (const row of this.wayRows.rows.values()) mark(row.link, "aria-current", row.key === this.key ? "true" : null);
      if (this.key) this.loadWay();
    } catch {
      // the next look has them
    }
  }

  async loadWay() {
    if (!this.key) {
      put(this.chart);
      return;
    }
    try {
      const way = await get("/api/way", { key: this.key });
      const text = JSON.stringify(way);
      if (this.drawn === text && this.chart.childElementCount) return;
      this.drawn = text;
      put(this.chart,
        h("h3", {}, way.topic), h("p", { class: "dim path" }, `key ${way.key}`), chart(way),
        h("p", {}, h("a", { href: "#messages" }, "Close")));
    } catch (error) {
      put(this.chart, h("p", { class: "bad" }, error.message));
    }
  }
}

/** A button that has to be pressed twice. */
function sure(words, kind, act) {
  const button = h("button", { type: "button", class: `${kind} act`, onclick: () => {
    if (button.dataset.asked) {
      act();
      return;
    }
    button.dataset.asked = "yes";
    say(button, `Really ${words[0].toLowerCase()}${words.slice(1)}?`);
    setTimeout(() => {
      delete button.dataset.asked;
      say(button, words);
    }, 4000);
  } }, words);
  return button;
}

class DoubtRow {
  constructor() {
    this.cells = [h("th", { scope: "row" }), h("td", { "data-label": "State" }), h("td", { "data-label": "Messages", class: "number" })];
    this.node = h("tr", { class: "main" }, this.cells);
  }

  update(doubt) {
    say(this.cells[0], doubt.hop);
    const words = STATES[doubt.state] ? `${doubt.state}: ` : doubt.state;
    if (!this.cells[1].childElementCount) put(this.cells[1], h("b", {}, words), h("span", { class: "dim" }, STATES[doubt.state] ?? ""));
    say(this.cells[2], count(doubt.count));
    this.node.classList.toggle("none", !doubt.count);
  }
}

class LetterRow {
  constructor(view, letter) {
    this.view = view;
    this.letter = letter;
    this.buttons = [["retry", "Try again"], ["drop", "Drop"]].map(([what, name]) => h("button", {
      type: "button", class: what === "drop" ? "danger act" : "act", onclick: () => this.decide(what),
      "aria-label": `${name}: message ${letter.id} on ${letter.topic}`,
    }, name));
    const when = letter.at_ms ?? (typeof letter.at_s === "number" ? letter.at_s * 1000 : null);
    this.node = h("tr", { class: "main" },
      h("th", { scope: "row" }, letter.of, h("span", { class: "dim path" }, `#${letter.id}`, when ? `, ${clock(when)}` : "")),
      h("td", { "data-label": "Topic", class: "topic" }, letter.topic ?? "–", letter.way === "in" ? h("span", { class: "dim" }, " (from upstream)") : ""),
      h("td", { "data-label": "Message" }, payload(letter), h("span", { class: "dim" }, ` ${bytes(letter.bytes)}`, letter.qos === undefined ? "" : `, QoS ${letter.qos}`)),
      h("td", { "data-label": "Why" }, letter.cause || letter.reason || ""),
      h("td", { class: "actions" }, this.buttons));
  }

  async decide(what) {
    if (what === "drop" && !this.isSure()) return;
    for (const button of this.buttons) button.disabled = true;
    try {
      const answer = await this.view.live.act("/api/set-aside", { of: this.letter.of, id: this.letter.id, do: what });
      this.view.tell(answer.words);
      this.view.aside = null;
      this.view.update();
    } catch (error) {
      this.view.tell(error.message, true);
      for (const button of this.buttons) button.disabled = false;
    }
  }

  /** A second press within some seconds: what is dropped does not come back. */
  isSure() {
    const button = this.buttons[1];
    if (button.dataset.asked) return true;
    button.dataset.asked = "yes";
    say(button, "Really drop");
    setTimeout(() => {
      delete button.dataset.asked;
      say(button, "Drop");
    }, 4000);
    return false;
  }
}

class WayRow {
  constructor(way) {
    this.key = way.key;
    this.when = h("td", { "data-label": "When" });
    this.link = h("a", { href: `#messages/${encodeURIComponent(way.key)}` }, way.topic);
    this.done = h("td", { "data-label": "So far" });
    this.node = h("tr", { class: "main" }, this.when, h("th", { scope: "row", class: "topic" }, this.link),
      h("td", { "data-label": "Key", class: "dim path" }, way.key), this.done);
  }

  update(way) {
    say(this.when, clock(way.at_ms));
    say(this.done, way.done.join(" → "));
    this.done.className = way.done.includes("ended") ? "bad" : "";
  }
}
