// Devices: serial lines and what is at their ends, clients of the network.

import { h, mark, put, Rows, say, sign } from "../dom.js";
import { get } from "../live.js";
import { Plot, Spark } from "../plot.js";
import { ago, bytes, bytesASecond, count, ms, percent, seconds } from "../words.js";

const SPARKS_MS = 30000;
const PLOTS_MS = 10000;
const SHOWN = 200; // sessions that the gateway tells of
const FRAMES = [
  ["sent", "frames sent"], ["received", "frames received"], ["resent", "frames sent again"], ["repaired", "frames repaired"],
  ["damaged", "frames damaged"], ["duplicates", "frames received twice"], ["timeouts", "timeouts"],
  ["foreign", "frames of another session"], ["resets", "sessions that ended"],
];

export class Devices {
  constructor(live, tell) {
    this.live = live;
    this.tell = tell;
    this.open = new Set();
    const columns = ["Device", "Last seen", "Line", "From device", "To device", "Round trip", "Repaired", "Last hour"];
    const head = h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name))));
    this.none = h("p", { class: "empty" }, "No serial line. ", h("code", {}, "mqttlite gateway --serial /dev/ttyUSB0"), " adds one.");
    this.clients = h("tbody", {});
    this.clientsNone = h("p", { class: "empty" }, "Nobody is connected over the network.");
    this.clientsAll = h("section", {},
      h("h2", {}, "Network"),
      h("div", { class: "scroll" }, h("table", { class: "rows" },
        h("thead", {}, h("tr", {}, ["Client", "Since", "Address", "MQTT", "Queued", "In doubt", "Dropped"].map((name) => h("th", { scope: "col" }, name)))),
        this.clients)),
      this.clientsNone, (this.clientsMore = h("p", { class: "dim small", hidden: true })));
    this.table = h("table", { class: "rows lines" }, head);
    this.node = h("div", {},
      h("section", {}, h("h2", {}, "Serial lines"), this.table, this.none),
      this.clientsAll);
    this.lineRows = new Rows(this.table, ([name]) => new LineRow(this, name), head);
    this.clientRows = new Rows(this.clients, () => new ClientRow());
    this.sparks = {};
    this.timer = setInterval(() => this.load(), SPARKS_MS);
    this.load();
  }

  gone() {
    clearInterval(this.timer);
    for (const row of this.lineRows.rows.values()) row.gone();
  }

  async load() {
    try {
      this.sparks = await get("/api/sparks");
      this.update();
    } catch {
      // the next look has them
    }
  }

  update() {
    const lines = this.live.all("line");
    this.table.hidden = !lines.length;
    this.none.hidden = lines.length > 0 || !this.live.get("gateway");
    this.lineRows.show(lines, ([name]) => name);
    const clients = this.live.all("client").sort(([, a], [, b]) => b.connected - a.connected || a.client.localeCompare(b.client));
    this.clientsAll.hidden = this.live.get("gateway")?.mode !== "bridge";
    this.clientsNone.hidden = clients.length > 0;
    const sessions = this.live.get("gateway")?.sessions ?? 0;
    this.clientsMore.hidden = clients.length < SHOWN || sessions <= clients.length;
    say(this.clientsMore, `${count(clients.length)} of ${count(sessions)} sessions are shown; mqttlite ctl sessions lists all.`);
    this.clientRows.show(clients, ([name]) => name);
  }
}

function cell(label, ...content) {
  return h("td", { "data-label": label }, content);
}

class LineRow {
  constructor(view, name) {
    this.view = view;
    this.name = name;
    this.id = `line-${LineRow.number = (LineRow.number ?? 0) + 1}`;
    this.sign = h("span", {});
    this.device = h("span", { class: "name" });
    this.advice = h("span", { class: "advice", hidden: true });
    this.button = h("button", { type: "button", class: "more", "aria-expanded": "false", "aria-controls": this.id, onclick: () => this.toggle() },
      this.sign, this.device);
    this.port = h("span", { class: "dim path" });
    this.seen = cell("Last seen");
    this.quality = cell("Line");
    this.up = cell("From device");
    this.down = cell("To device");
    this.rtt = cell("Round trip");
    this.repaired = cell("Repaired");
    this.spark = new Spark("Bytes a second over the last hour");
    this.main = h("tr", { class: "main" }, h("th", { scope: "row" }, this.button, this.port, this.advice),
      this.seen, this.quality, this.up, this.down, this.rtt, this.repaired, h("td", { class: "sparks" }, this.spark.node));
    this.detail = h("td", { colspan: "8", id: this.id });
    this.more = h("tr", { class: "detail", hidden: true }, this.detail);
    this.node = h("tbody", {}, this.main, this.more);
    this.plots = null;
  }

  update([name, line]) {
    const kind = line.link ? (line.broker ? "ok" : "warn") : line.looks_like === "no port" ? "bad" : "off";
    const word = line.link ? (line.broker ? "connected" : "device there, not connected to a broker") : line.looks_like || "no device";
    if (this.kind !== kind + word) {
      this.kind = kind + word;
      put(this.sign, sign(kind, word));
    }
    say(this.device, line.device || (line.link ? "device without a name" : "no device"));
    const advice = line.link ? line.broker_problem : line.advice;
    this.advice.hidden = !advice;
    say(this.advice, advice ?? "");
    say(this.port, name);
    say(this.seen, line.link ? "now" : ago(line.seen_s));
    const quality = line.quality ?? {};
    say(this.quality, line.link ? (quality.word ? `${quality.word}, ${percent(quality.share)}` : "quiet") : line.looks_like || "–");
    this.quality.className = line.link ? { fair: "warn", poor: "bad" }[quality.word] ?? "" : line.looks_like === "no port" ? "bad" : "dim";
    say(this.up, line.link ? bytesASecond(line.up_bytes_s) : "–");
    say(this.down, line.link ? bytesASecond(line.down_bytes_s) : "–");
    say(this.rtt, line.link ? ms(line.rtt_ms) : "–");
    say(this.repaired, count(line.frames?.repaired));
    const spark = this.view.sparks[name];
    if (spark) this.spark.show(spark);
    this.line = line;
    if (this.plots) this.tellMore();
  }

  toggle() {
    const isOpen = this.more.hidden;
    this.more.hidden = !isOpen;
    mark(this.button, "aria-expanded", String(isOpen));
    if (isOpen) this.openPlots();
    else this.closePlots();
  }

  openPlots() {
    this.plots = new LinePlots(`line/${this.name}`);
    this.facts = h("dl", { class: "facts" });
    put(this.detail, this.plots.node, this.facts);
    this.tellMore();
  }

  closePlots() {
    this.plots?.gone();
    this.plots = null;
    put(this.detail);
  }

  tellMore() {
    const line = this.line;
    const facts = [
      ["from device", bytes(line.up_bytes)], ["to device", bytes(line.down_bytes)],
      ["connections", count(line.connections)], ["refused", count(line.refused)],
      ...FRAMES.map(([key, name]) => [name, count(line.frames?.[key])]),
      ["log lines left out", count(line.log_lines_left_out)],
      ...(line.bus ? [
        ["address on the bus", String(line.address)], ["slowest answer", ms(line.answer_ms)], ["share of the bus", percent(line.bus_share)],
        ...Object.entries(line.turns ?? {}).map(([name, value]) => [`turns ${name}`, count(value)]),
      ] : []),
    ];
    if (!this.facts.childElementCount) put(this.facts, facts.map(([name]) => h("div", {}, h("dt", {}, name), h("dd", {}))));
    facts.forEach(([, value], index) => say(this.facts.children[index].lastChild, value));
  }

  gone() {
    this.closePlots();
  }
}

/** Three plots of a line with a choice of their span, kept up to date. */
class LinePlots {
  constructor(part) {
    this.part = part;
    this.goodput = new Plot({ title: "Goodput", series: [{ name: "from device", kind: "a" }, { name: "to device", kind: "b" }], format: bytesASecond });
    this.frames = new Plot({ title: "Frames a second", series: [{ name: "repaired", kind: "b" }, { name: "damaged", kind: "c" }] });
    this.rtt = new Plot({ title: "Round trip", series: [{ name: "smoothed", kind: "a" }], format: (value) => (value ? ms(value) : "0") });
    this.span = new Span(() => this.load());
    this.node = h("div", { class: "plots" }, this.span.node, this.goodput.node, this.frames.node, this.rtt.node);
    this.timer = setInterval(() => this.load(), PLOTS_MS);
    this.load();
  }

  async load() {
    try {
      const { rows, at_s: at } = await get("/api/samples", { of: this.part, span: this.span.value });
      const column = (number) => rows.map((row) => row[number]);
      const step = this.span.step;
      this.goodput.show([column(0), column(1)], at, step);
      this.frames.show([column(2), column(3)], at, step);
      this.rtt.show([column(4)], at, step);
    } catch {
      // the next look has them
    }
  }

  gone() {
    clearInterval(this.timer);
    for (const plot of [this.goodput, this.frames, this.rtt]) plot.gone();
  }
}

/** The last hour, or the last day. */
export class Span {
  constructor(changed) {
    this.value = "hour";
    this.step = 10;
    this.buttons = ["hour", "day"].map((name) => h("button", {
      type: "button", class: "choice", "aria-pressed": String(name === "hour"),
      onclick: () => {
        this.value = name;
        this.step = name === "hour" ? 10 : 300;
        for (const each of this.buttons) mark(each, "aria-pressed", String(each.dataset.span === name));
        changed();
      },
      "data-span": name,
    }, `last ${name}`));
    this.node = h("div", { class: "choices", role: "group", "aria-label": "Span of the plots" }, this.buttons);
  }
}

class ClientRow {
  constructor() {
    this.sign = h("span", {});
    this.name = h("span", { class: "name" });
    this.user = h("span", { class: "dim path" });
    this.cells = ["Since", "Address", "MQTT", "Queued", "In doubt", "Dropped"].map((name) => cell(name));
    this.node = h("tr", { class: "main" }, h("th", { scope: "row" }, this.sign, this.name, this.user), this.cells);
  }

  update([, client]) {
    const word = client.connected ? "connected" : "not connected";
    if (this.word !== word) {
      this.word = word;
      put(this.sign, sign(client.connected ? "ok" : "off", word));
    }
    say(this.name, client.client);
    say(this.user, client.user ? `user ${client.user}` : "");
    const values = [
      client.connected ? seconds(client.since_s) : `gone for ${seconds(client.since_s)}`, client.address ?? "–", client.version ?? "–",
      client.queued ? `${count(client.queued)} (${bytes(client.queued_bytes)})` : "0",
      count(client.in_doubt + client.unreleased), count(client.dropped),
    ];
    values.forEach((value, index) => say(this.cells[index], value));
  }
}
