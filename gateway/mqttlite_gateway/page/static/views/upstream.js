// Where messages go from here: the queue of each upstream, and how it drains.

import { h, Rows, put, say, sign } from "../dom.js";
import { get } from "../live.js";
import { Plot } from "../plot.js";
import { aSecond, bytes, count, number, seconds } from "../words.js";
import { Span } from "./devices.js";

const PLOTS_MS = 10000;
const KINDS = { mqtt: "MQTT", amqp: "AMQP", postgres: "PostgreSQL" };

export class Upstream {
  constructor(live, tell) {
    this.live = live;
    this.tell = tell;
    this.list = h("div", { class: "cards" });
    this.none = h("p", { class: "empty" });
    this.node = h("section", {}, h("h2", {}, "Upstreams"), this.list, this.none);
    this.rows = new Rows(this.list, ([name]) => new Card(this, name));
  }

  gone() {
    for (const row of this.rows.rows.values()) row.gone();
  }

  update() {
    const all = this.live.all("uplink");
    const mode = this.live.get("gateway")?.mode;
    this.none.hidden = all.length > 0 || !mode;
    say(this.none, mode === "forward"
      ? "The gateway forwards: each device has its own connection to the broker, and nothing waits here. A table [[upstream]] makes it a bridge, with a queue that survives."
      : "The broker inside has no upstream: messages stay here. A table [[upstream]] in the gateway’s file adds one.");
    this.rows.show(all, ([name]) => name);
  }
}

class Card {
  constructor(view, name) {
    this.now = h("button", { type: "button", class: "act", hidden: true, onclick: async () => {
      try {
        view.tell((await view.live.act("/api/try-now", { of: name })).words);
      } catch (error) {
        view.tell(error.message, true);
      }
    } }, "Try now");
    this.sign = h("span", {});
    this.url = h("span", { class: "dim path" });
    this.state = h("p", { class: "state" });
    this.figures = {};
    const figure = (key, label) => (this.figures[key] = new Figure(label)).node;
    this.span = new Span(() => this.load());
    this.queue = new Plot({ title: "Queue", series: [{ name: "messages", kind: "a" }], format: number });
    this.drain = new Plot({ title: "Drained", series: [{ name: "messages a second", kind: "b" }], format: number });
    this.more = h("dl", { class: "facts" });
    this.node = h("article", { class: "card", "aria-label": `Upstream ${name}` },
      h("header", {}, this.sign, h("h3", {}, name), this.url, h("span", { class: "grow" }), this.now), this.state,
      h("dl", { class: "figures" },
        figure("queued", "queued"), figure("oldest", "oldest"), figure("drained", "drains at"), figure("doubt", "in doubt")),
      h("div", { class: "plots" }, this.span.node, this.queue.node, this.drain.node), this.more);
    this.part = `uplink/${name}`;
    this.timer = setInterval(() => this.load(), PLOTS_MS);
    this.load();
  }

  async load() {
    try {
      const { rows, at_s: at } = await get("/api/samples", { of: this.part, span: this.span.value });
      if (!rows.length) return;
      const column = (index) => rows.map((row) => row[index]);
      this.queue.show([column(0)], at, this.span.step);
      this.drain.show([column(1)], at, this.span.step);
    } catch {
      // the next look has them
    }
  }

  update([, uplink]) {
    const word = uplink.connected ? "connected" : "not connected";
    if (this.word !== word) {
      this.word = word;
      put(this.sign, sign(uplink.connected ? "ok" : "bad", word));
    }
    say(this.url, `${KINDS[uplink.kind] ?? uplink.kind ?? ""} ${uplink.url ?? ""}`);
    const since = typeof uplink.since_s === "number" ? ` for ${seconds(uplink.since_s)}` : "";
    say(this.state, uplink.connected ? `connected${since}` : `not connected${since}${uplink.problem ? ": " + uplink.problem : ""}`);
    this.now.hidden = uplink.connected;
    this.state.className = uplink.connected ? "state dim" : "state bad";
    const figures = this.figures;
    figures.queued.show(count(uplink.queued), uplink.queued ? bytes(uplink.queued_bytes) : "");
    figures.oldest.show(uplink.queued ? seconds(uplink.oldest_s) : "–");
    figures.drained.show(aSecond(uplink.drained_a_second), left(uplink));
    const doubt = Object.entries(uplink.in_doubt ?? {}).filter(([, each]) => each);
    figures.doubt.show(count(doubt.reduce((sum, [, each]) => sum + each, 0)), doubt.map(([state, each]) => `${count(each)} ${state}`).join(", "));
    const facts = ["sent", "acknowledged", "received", "refused", "expired", "set_aside"].filter((key) => uplink[key] !== undefined)
      .map((key) => [key.replace("_", " "), count(uplink[key])]);
    for (const [cause, each] of Object.entries(uplink.dropped ?? {})) if (each) facts.push([`dropped: ${cause}`, count(each)]);
    const names = facts.map(([key]) => key).join();
    if (this.names !== names) {
      this.names = names;
      put(this.more, facts.map(([key]) => h("div", {}, h("dt", {}, key), h("dd", {}))));
    }
    facts.forEach(([, value], index) => say(this.more.children[index].lastChild, value));
  }

  gone() {
    clearInterval(this.timer);
    this.queue.gone();
    this.drain.gone();
  }
}

/** A number to be seen from afar, and a word below it. */
class Figure {
  constructor(label) {
    this.value = h("b", {});
    this.words = h("span", { class: "dim small" });
    this.node = h("div", {}, h("dt", {}, label), h("dd", {}, this.value, this.words));
  }

  show(value, words = "") {
    say(this.value, value);
    say(this.words, words);
  }
}

/** When the queue will be empty, as it goes now. */
function left(uplink) {
  const rate = uplink.drained_a_second;
  if (!(rate > 0) || !(uplink.queued > 5 * rate)) return "";
  return `empty in ${seconds(uplink.queued / rate)}`;
}
