// The page's frame: views by the fragment of the address, the state of everything in a line, who is here.

import { h, mark, put, say } from "./dom.js";
import { Live } from "./live.js";
import { Boards } from "./views/boards.js";
import { Devices } from "./views/devices.js";
import { Health } from "./views/health.js";
import { Messages } from "./views/messages.js";
import { Topics } from "./views/topics.js";
import { Upstream } from "./views/upstream.js";

const VIEWS = [
  ["devices", "Devices", Devices],
  ["upstream", "Upstream", Upstream],
  ["messages", "Messages", Messages],
  ["topics", "Topics", Topics],
  ["boards", "Boards", Boards],
  ["health", "Health", Health],
];

const live = new Live();
const main = document.getElementById("main");
const links = new Map();
let view = null;
let shown = "";

function tell(words, isBad = false) {
  const said = document.getElementById("said");
  said.className = isBad ? "said bad" : "said";
  say(said, words);
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => say(said, ""), isBad ? 12000 : 6000);
}

function show() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const [id, title, View] = VIEWS.find(([each]) => each === name) ?? VIEWS[0];
  if (shown !== id) {
    view?.gone?.();
    shown = id;
    view = new View(live, tell);
    put(main, h("h1", { class: "sr" }, title), view.node);
    document.title = `${title} · ${live.get("gateway")?.host ?? "Gateway"}`;
    for (const [each, link] of links) mark(link, "aria-current", each === id ? "page" : null);
    links.get(id).scrollIntoView({ block: "nearest", inline: "nearest" });
    window.scrollTo(0, 0);
  }
  view.go?.(rest.map(decodeURIComponent));
  view.update();
}

function update() {
  const gateway = live.get("gateway");
  if (gateway) {
    say(document.getElementById("host"), gateway.host);
    const health = document.getElementById("state-of-all");
    const problems = gateway.problems.length;
    health.hidden = false;
    health.className = problems ? "pill bad" : "pill ok";
    say(health, problems ? (problems === 1 ? "1 problem" : `${problems} problems`) : "all well");
    const aside = live.all("uplink").reduce((sum, [, each]) => sum + (each.set_aside ?? 0), 0);
    badge("messages", aside, "set aside");
    badge("upstream", live.all("uplink").filter(([, each]) => !each.connected).length, "not connected");
  }
  view?.update();
}

function badge(name, number, what) {
  const place = links.get(name).querySelector(".badge");
  place.hidden = !number;
  say(place, number);
  mark(place, "aria-label", number ? `${number} ${what}` : null);
}

const nav = document.getElementById("nav");
for (const [id, title] of VIEWS) {
  const link = h("a", { href: `#${id}` }, title, h("span", { class: "badge", hidden: true }));
  links.set(id, link);
  nav.append(h("li", {}, link));
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

live.addEventListener("parts", update);
live.addEventListener("me", () => {
  const me = live.me;
  say(document.getElementById("user"), me.name ? me.name + (me.may_act ? "" : " (looks only)") : "");
  document.getElementById("logout").hidden = !me.name;
  document.body.classList.toggle("reader", !me.may_act);
  if (!view) show();
});
live.addEventListener("link", (event) => {
  const words = { here: "live", lost: "connection lost, trying again …", asleep: "paused" };
  const link = document.getElementById("link");
  link.className = `link ${event.detail}`;
  say(link, words[event.detail]);
  document.body.classList.toggle("stale", event.detail !== "here");
  view?.linked?.(event.detail);
});
window.addEventListener("hashchange", show);

document.getElementById("logout").addEventListener("click", async () => {
  try {
    await live.act("/api/logout", {});
  } finally {
    location.replace("/login");
  }
});

// Colours: the system's, or always light or dark; remembered by this browser.
const THEMES = ["system", "light", "dark"];
const SIGNS = { system: "◐", light: "☀", dark: "☾" };
const theme = document.getElementById("theme");

function paint(name) {
  document.documentElement.dataset.theme = name;
  say(theme, SIGNS[name]);
  theme.setAttribute("aria-label", `Colours: ${name === "system" ? "as the system has them" : name}`);
  theme.title = theme.getAttribute("aria-label");
}

function kept() {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null;
  }
}

paint(THEMES.includes(kept()) ? kept() : "system");
theme.addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
  paint(next);
  try {
    localStorage.setItem("theme", next);
  } catch {
    // a browser that keeps nothing
  }
});

live.open();
