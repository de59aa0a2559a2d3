// A look at topics as messages come, and a message for a trial.

import { h, put, say } from "../dom.js";
import { payload, whole } from "../payload.js";
import { bytes, clock, count } from "../words.js";

const KEPT = 300; // messages that the page shows

export class Topics {
  constructor(live, tell) {
    this.live = live;
    this.tell = tell;
    this.messages = [];
    this.leftOut = 0;
    this.seen = 0;
    this.isPaused = false;
    this.filter = h("input", { id: "filter", value: remembered.filter, spellcheck: "false", autocapitalize: "none", autocomplete: "off", "aria-describedby": "filter-help" });
    this.start = h("button", { class: "primary" }, "Watch");
    this.pause = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.hold(!this.isPaused) }, "Pause");
    this.clear = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.empty() }, "Clear");
    this.find = h("input", { type: "search", placeholder: "find in these", "aria-label": "Show only messages with this in topic or text", hidden: true, oninput: () => this.draw() });
    this.state = h("p", { class: "dim", role: "status" });
    this.list = h("ol", { class: "tail", "aria-label": "Messages, the newest first", tabindex: "0" });
    this.node = h("div", { class: "two" },
      h("section", {}, h("h2", {}, "Watch topics"),
        h("form", { class: "bar", onsubmit: (event) => this.toggle(event) },
          h("label", { for: "filter", class: "sr" }, "Topic filter"), this.filter, this.start, this.pause, this.clear, this.find),
        h("p", { class: "dim small", id: "filter-help" }, h("code", {}, "#"), " everything, ", h("code", {}, "+"), " one level: ", h("code", {}, "sensors/+/heat")),
        this.state, this.list),
      new Publish(this).node);
    this.onTail = (event) => this.take(event.detail);
    live.addEventListener("tail", this.onTail);
    this.keys = (event) => {
      if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "")) {
        event.preventDefault();
        this.filter.focus();
      }
    };
    document.addEventListener("keydown", this.keys);
  }

  gone() {
    this.live.removeEventListener("tail", this.onTail);
    document.removeEventListener("keydown", this.keys);
    if (this.watched) this.ask("").catch(() => {});
  }

  update() {}

  linked(state) {
    if (state === "here" && this.watched) this.watch(this.watched);
  }

  toggle(event) {
    event.preventDefault();
    if (this.watched && this.watched === this.filter.value) this.stop();
    else this.watch(this.filter.value);
  }

  ask(filter) {
    return this.live.act("/api/tail", { stream: this.live.stream, filter });
  }

  async watch(filter) {
    if (this.watched !== filter) this.empty();
    remembered.filter = filter;
    this.watched = filter; // before the answer: what is retained may come first
    try {
      await this.ask(filter);
    } catch (error) {
      if (this.watched === filter) this.watched = "";
      this.tell(error.message, true);
    }
    this.tellState();
  }

  async stop() {
    this.watched = "";
    this.tellState();
    await this.ask("").catch(() => {});
  }

  hold(isPaused) {
    this.isPaused = isPaused;
    say(this.pause, isPaused ? "Go on" : "Pause");
    this.draw();
  }

  empty() {
    this.messages = [];
    this.leftOut = this.seen = 0;
    this.draw();
  }

  take(news) {
    if (news.filter !== this.watched) return;
    this.leftOut += news.left_out;
    this.seen += news.messages.length;
    this.messages.unshift(...news.messages.reverse());
    this.messages.length = Math.min(this.messages.length, KEPT);
    if (!this.isPaused) this.draw();
    this.tellState();
  }

  tellState() {
    say(this.start, this.watched ? (this.watched === this.filter.value ? "Stop" : "Watch") : "Watch");
    for (const each of [this.pause, this.clear, this.find]) each.hidden = !this.watched && !this.messages.length;
    const left = this.leftOut ? `; ${count(this.leftOut)} left out, because they came faster than this page takes them` : "";
    say(this.state, this.watched ? `Watching ${this.watched}: ${count(this.seen)} messages${left}.` : this.messages.length ? "Stopped." : "");
  }

  draw() {
    const text = this.find.value.toLowerCase();
    const fits = (message) => !text || message.topic.toLowerCase().includes(text) || (message.text ?? message.hex).toLowerCase().includes(text);
    const known = new Map([...this.list.children].map((node) => [node.message, node]));
    const nodes = this.messages.filter(fits).map((message) => known.get(message) ?? line(message));
    if (nodes.length !== this.list.children.length || nodes.some((node, index) => node !== this.list.children[index])) this.list.replaceChildren(...nodes);
    this.tellState();
  }
}

const remembered = { filter: "#" };

function line(message) {
  const marks = [message.retain ? "retained" : "", message.qos ? `QoS ${message.qos}` : ""].filter(Boolean).join(", ");
  const summary = h("summary", {},
    h("time", { class: "dim" }, clock(message.at_ms)), h("span", { class: "topic" }, message.topic), payload(message),
    h("span", { class: "dim marks" }, marks));
  const details = h("details", {}, summary);
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(whole(message), h("p", { class: "dim small" }, `${bytes(message.bytes)}, QoS ${message.qos}${message.retain ? ", retained" : ""}`));
  });
  const node = h("li", {}, details);
  node.message = message;
  return node;
}

class Publish {
  constructor(view) {
    this.view = view;
    this.topic = h("input", { name: "topic", required: true, spellcheck: "false", autocapitalize: "none", autocomplete: "off" });
    this.payload = h("textarea", { name: "payload", rows: "4", spellcheck: "false" });
    this.qos = h("select", { name: "qos" }, [0, 1, 2].map((qos) => h("option", { value: qos, selected: qos === 1 }, `QoS ${qos}`)));
    this.retain = h("input", { type: "checkbox", name: "retain" });
    this.hex = h("input", { type: "checkbox", name: "hex" });
    this.go = h("button", { class: "primary act" }, "Publish");
    this.answer = h("p", { role: "status" });
    this.node = h("section", { class: "act" }, h("h2", {}, "Publish a test message"),
      h("form", { class: "form", onsubmit: (event) => this.publish(event) },
        h("label", {}, "Topic ", this.topic),
        h("label", {}, "Payload ", this.payload),
        h("p", { class: "bar" }, h("label", { class: "inline" }, h("span", { class: "sr" }, "Quality of service "), this.qos),
          h("label", { class: "inline" }, this.retain, " retain"), h("label", { class: "inline" }, this.hex, " payload is hexadecimal")),
        h("p", { class: "bar" }, this.go), this.answer));
  }

  async publish(event) {
    event.preventDefault();
    this.go.disabled = true;
    put(this.answer);
    try {
      const answer = await this.view.live.act("/api/publish", {
        topic: this.topic.value, payload: this.payload.value, qos: Number(this.qos.value), retain: this.retain.checked, hex: this.hex.checked,
      });
      this.answer.className = "good";
      say(this.answer, answer.words);
    } catch (error) {
      this.answer.className = "bad";
      say(this.answer, error.message);
    } finally {
      this.go.disabled = false;
    }
  }
}
