// What is wrong, what was dropped and why, and the gateway itself.

import { h, Rows, put, say } from "../dom.js";
import { aSecond, bytes, count, seconds } from "../words.js";

// What a cause means; the same words as in docs/operating.md
const CAUSES = {
  slow: "QoS 0, the client did not take it in time",
  offline: "QoS 0, the client was not connected",
  queue_full: "the queue of its client was full",
  refused: "refused: no room, or the upstream does not take it",
  reserved: "published to a topic that is the broker’s own",
  denied: "no right to it",
  expired: "its time was over before it could be sent",
  too_large: "larger than its receiver takes",
  operator: "dropped by somebody with ctl or on this page",
  age: "older than max_age_s of the upstream",
  looped: "it came from there",
};

export class Health {
  constructor(live) {
    this.live = live;
    this.problems = h("ul", { class: "problems" });
    this.well = h("p", { class: "well" }, "Every adapter is there, every upstream is connected, the store gets on.");
    this.drops = h("tbody", {});
    this.facts = h("dl", { class: "facts" });
    this.noDrops = h("p", { class: "empty" }, "Nothing was dropped since the gateway began.");
    this.table = h("table", { class: "rows" },
      h("thead", {}, h("tr", {}, ["Where", "Cause", "Messages"].map((name) => h("th", { scope: "col" }, name)))), this.drops);
    this.node = h("div", {},
      h("section", {}, h("h2", {}, "State"), this.problems, this.well),
      h("section", {}, h("h2", {}, "Drops by cause"), this.table, this.noDrops),
      h("section", {}, h("h2", {}, "Gateway"), this.facts,
        h("p", { class: "dim small" }, "For programs: ", h("a", { href: "/metrics" }, "/metrics"), " (Prometheus), ", h("a", { href: "/healthz" }, "/healthz"), ".")));
    this.problemRows = new Rows(this.problems, (problem) => ({ node: h("li", { class: "bad" }, problem) }));
    this.dropRows = new Rows(this.drops, () => new DropRow());
    this.factRows = new Rows(this.facts, ([name]) => {
      const value = h("dd", {});
      return { node: h("div", {}, h("dt", {}, name), value), update: ([, text]) => say(value, text) };
    });
  }

  update() {
    const gateway = this.live.get("gateway");
    if (!gateway) return;
    this.well.hidden = gateway.problems.length > 0;
    this.problemRows.show(gateway.problems, (problem) => problem);
    const drops = (this.live.get("drops") ?? []).filter((each) => each.count).sort((a, b) => b.count - a.count);
    this.table.hidden = !drops.length;
    this.noDrops.hidden = drops.length > 0;
    this.dropRows.show(drops, (each) => `${each.where} ${each.cause}`);
    const facts = [["host", gateway.host], ["version", gateway.version], ["running for", seconds(gateway.uptime_s)], ["mode", gateway.mode]];
    if (gateway.mode === "bridge") {
      facts.push(["listens on", gateway.addresses.join(", ") || "nothing"], ["store", gateway.store ?? "memory: nothing survives a restart"],
        ["clients", `${count(gateway.clients)} of ${count(gateway.sessions)} sessions`], ["messages received", `${count(gateway.received)} (${aSecond(gateway.received_s)})`],
        ["deliveries", count(gateway.sent)], ["queued for clients", count(gateway.queued)]);
    }
    for (const [name, value] of Object.entries(gateway.ledger ?? {})) {
      if (typeof value === "number") facts.push([`ledger: ${name.replaceAll("_", " ")}`, name.endsWith("bytes") ? bytes(value) : count(value)]);
    }
    this.factRows.show(facts, ([name]) => name);
  }
}

class DropRow {
  constructor() {
    this.cells = [h("th", { scope: "row" }), h("td", { "data-label": "Cause" }), h("td", { "data-label": "Messages", class: "number" })];
    this.node = h("tr", { class: "main" }, this.cells);
  }

  update(drop) {
    say(this.cells[0], drop.where);
    put(this.cells[1], h("b", {}, drop.cause.replaceAll("_", " ")), h("span", { class: "dim" }, CAUSES[drop.cause] ? ` ${CAUSES[drop.cause]}` : ""));
    say(this.cells[2], count(drop.count));
  }
}
