// Boards: a device of the broker for each, what is written onto one that is plugged in, what they are to run.

import { h, mark, put, Rows, say, sign } from "../dom.js";
import { get } from "../live.js";
import { qr } from "../qr.js";
import { bytes, clock, seconds } from "../words.js";

export class Boards {
  constructor(live, tell) {
    this.live = live;
    this.tell = tell;
    this.found = null;
    this.jobs = h("div", { class: "jobs" });
    this.jobRows = new Rows(this.jobs, () => new JobRow(this));
    this.jobsAll = h("section", { hidden: true }, h("h2", {}, "Under way"), this.jobs);
    this.devices = h("tbody", {});
    this.deviceRows = new Rows(this.devices, (device) => new DeviceRow(this, device));
    this.noDevices = h("p", { class: "empty" });
    this.table = h("table", { class: "rows" },
      h("thead", {}, h("tr", {}, ["Device", "Template", "Added", ""].map((name) => h("th", { scope: "col" }, name)))), this.devices);
    this.added = h("div", { class: "added", "aria-live": "polite" });
    this.add = new Add(this);
    this.flash = new Flash(this);
    this.roll = new RollOut(this);
    this.node = h("div", {}, this.jobsAll,
      h("div", { class: "two" },
        h("section", {}, h("h2", {}, "Devices of the broker"), this.added, this.table, this.noDevices),
        h("div", {}, this.add.node, this.flash.node, this.roll.node)));
    this.load();
  }

  async load() {
    try {
      this.found = await get("/api/boards");
    } catch (error) {
      this.tell(error.message, true);
      return;
    }
    const found = this.found;
    this.table.hidden = !found.devices.length;
    this.noDevices.hidden = found.devices.length > 0;
    say(this.noDevices, found.no_devices || "No device yet. One that is added here has a user of its own, with rights of its own.");
    this.deviceRows.show(found.devices, (device) => device.name);
    this.add.show(found);
    this.flash.show(found);
    this.roll.show(found);
  }

  update() {
    const jobs = this.live.all("job").map(([, job]) => job).sort((a, b) => b.number - a.number);
    this.jobsAll.hidden = !jobs.length;
    this.jobRows.show(jobs, (job) => job.number);
  }

  /** Have something done; its answer, or null, and why not stands at `place` or is told. */
  async act(path, request, button, place = null) {
    button.disabled = true;
    if (place) say(place, "");
    try {
      return await this.live.act(path, request);
    } catch (error) {
      if (place) say(place, error.message);
      else this.tell(error.message, true);
      return null;
    } finally {
      button.disabled = false;
    }
  }

  /** What a board needs to be that device: it is shown once, and kept nowhere. */
  showAdded(found) {
    const text = h("pre", { class: "payload" }, found.settings);
    put(this.added, h("article", { class: "card" },
      h("h3", {}, found.name), found.words.map((line) => h("p", {}, line)),
      found.settings && h("div", { class: "secret" },
        found.code && qr(found.code, `QR code with the settings of ${found.name}`),
        h("div", {}, h("p", { class: "warn" }, "Its password is shown once, and kept nowhere else."), text,
          h("p", { class: "bar" },
            h("button", { type: "button", onclick: () => this.copy(found.settings) }, "Copy"),
            h("button", { type: "button", class: "act", onclick: () => this.flash.take(found) }, "Flash a board with it"),
            h("button", { type: "button", class: "quiet", onclick: () => put(this.added) }, "Close"))))));
    this.added.scrollIntoView({ block: "nearest" });
  }

  async copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      this.tell("copied");
    } catch {
      this.tell("the browser does not let this page copy: select the text", true);
    }
  }
}

function choice(name, label) {
  const select = h("select", { name });
  return [select, h("label", {}, `${label} `, select)];
}

function fillChoice(select, values, none = "") {
  const before = select.value;
  put(select, none && h("option", { value: "" }, none), values.map(([value, words]) => h("option", { value }, words)));
  if (values.some(([value]) => value === before)) select.value = before;
}

class Add {
  constructor(view) {
    this.view = view;
    this.name = h("input", { name: "name", required: true, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*", maxlength: "32", spellcheck: "false", autocapitalize: "none", autocomplete: "off", title: "letters, digits, - _ and ." });
    [this.template, this.templateLabel] = choice("template", "Rights, by template");
    [this.url, this.urlLabel] = choice("url", "How it reaches the broker");
    fillChoice(this.url, [["", "over the network"], ["serial:usb", "over the USB cable, through this gateway"]]);
    this.wrong = h("p", { class: "bad", role: "alert" });
    this.go = h("button", { class: "primary" }, "Add");
    this.node = h("section", { class: "act" }, h("h2", {}, "Add a device"),
      h("form", { class: "form", onsubmit: (event) => this.add(event) },
        h("label", {}, "Name ", this.name), this.templateLabel, this.urlLabel, h("p", { class: "bar" }, this.go), this.wrong));
  }

  show(found) {
    fillChoice(this.template, found.templates.map((name) => [name, name]));
    this.templateLabel.hidden = found.templates.length < 2;
    this.go.disabled = Boolean(found.no_devices);
  }

  async add(event) {
    event.preventDefault();
    const found = await this.view.act("/api/device", { do: "add", name: this.name.value, template: this.template.value, url: this.url.value }, this.go, this.wrong);
    if (!found) return;
    this.name.value = "";
    this.view.showAdded(found);
    this.view.load();
  }
}

class Flash {
  constructor(view) {
    this.view = view;
    this.settings = "";
    [this.port, this.portLabel] = choice("port", "Board at");
    [this.image, this.imageLabel] = choice("image", "MicroPython");
    [this.application, this.applicationLabel] = choice("application", "Application");
    this.name = h("input", { name: "board", required: true, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*", maxlength: "32", spellcheck: "false", autocapitalize: "none", autocomplete: "off" });
    this.how = h("p", { class: "dim small" });
    this.go = h("button", { class: "primary" }, "Flash");
    this.why = h("p", { class: "dim small" });
    this.wrong = h("p", { class: "bad", role: "alert" });
    this.form = h("form", { class: "form", onsubmit: (event) => this.start(event) },
      this.portLabel, this.imageLabel, this.applicationLabel, h("label", {}, "Name of the board ", this.name), this.how, h("p", { class: "bar" }, this.go), this.wrong);
    this.node = h("section", { class: "act" }, h("h2", {}, "Flash a board that is plugged in"), this.form, this.why);
    this.tell();
  }

  show(found) {
    fillChoice(this.port, found.ports.map((each) => [each.port, each.device ? `${each.port} (${each.device})` : each.port]));
    fillChoice(this.image, found.images.map((name) => [name, name]));
    fillChoice(this.application, found.applications.map((name) => [name, name]), "one that measures the chip’s heat");
    const why = found.why || (found.images.length ? "" : `no image (.bin, .uf2) in ${found.folder}`) || (found.ports.length ? "" : "no serial port is there");
    this.form.hidden = Boolean(why);
    say(this.why, why);
  }

  /** The settings of a device that was added a moment ago. */
  take(added) {
    this.settings = added.settings;
    this.name.value = added.name;
    this.name.readOnly = true;
    this.tell();
    this.form.scrollIntoView({ block: "center" });
    this.go.focus();
  }

  tell() {
    say(this.how, this.settings ? "With the settings above: it connects over the network." : "It connects over this very cable.");
  }

  async start(event) {
    event.preventDefault();
    const request = { port: this.port.value, image: this.image.value, application: this.application.value, name: this.name.value, settings: this.settings };
    if (!(await this.view.act("/api/flash", request, this.go, this.wrong))) return;
    this.settings = "";
    this.name.readOnly = false;
    this.tell();
  }
}

class RollOut {
  constructor(view) {
    this.view = view;
    [this.what, this.whatLabel] = choice("what", "What");
    this.names = h("input", { name: "devices", required: true, spellcheck: "false", autocapitalize: "none", autocomplete: "off", placeholder: "pump-7 pump-8" });
    this.password = h("input", { type: "password", name: "mine", autocomplete: "current-password" });
    this.passwordLabel = h("label", {}, "Your password, for the broker ", this.password);
    this.go = h("button", { class: "primary" }, "Roll out");
    this.why = h("p", { class: "dim small" });
    this.wrong = h("p", { class: "bad", role: "alert" });
    this.form = h("form", { class: "form", onsubmit: (event) => this.start(event) },
      this.whatLabel, h("label", {}, "Boards, by name ", this.names), this.passwordLabel, h("p", { class: "bar" }, this.go), this.wrong);
    this.node = h("section", { class: "act" }, h("h2", {}, "Roll out an update"), this.form, this.why);
  }

  show(found) {
    fillChoice(this.what, [...found.releases.map((name) => [`release ${name}`, name]), ...found.applications.map((name) => [`application ${name}`, `${name} (as it is now)`])]);
    this.passwordLabel.hidden = !found.needs_password;
    this.password.required = found.needs_password;
    const why = found.why || (found.releases.length || found.applications.length ? "" : `no release and no application in ${found.folder}`);
    this.form.hidden = Boolean(why);
    say(this.why, why);
  }

  async start(event) {
    event.preventDefault();
    const [kind, ...rest] = this.what.value.split(" ");
    const request = { [kind]: rest.join(" "), devices: this.names.value.split(/[\s,]+/).filter(Boolean), password: this.password.value };
    if (await this.view.act("/api/update", request, this.go, this.wrong)) this.password.value = "";
  }
}

class DeviceRow {
  constructor(view, device) {
    this.view = view;
    this.name = device.name;
    this.sign = h("span", {});
    this.template = h("td", { "data-label": "Template" });
    this.added = h("td", { "data-label": "Added" });
    this.buttons = [["renew", "New password"], ["remove", "Remove"]].map(([what, words]) => h("button", {
      type: "button", class: what === "remove" ? "danger act" : "act", "aria-label": `${words}: ${device.name}`, onclick: (event) => this.act(what, words, event.currentTarget),
    }, words));
    this.node = h("tr", { class: "main" }, h("th", { scope: "row" }, this.sign, h("span", { class: "name" }, device.name)), this.template, this.added, h("td", { class: "actions" }, this.buttons));
  }

  update(device) {
    const word = device.connected ? "connected" : "not connected";
    if (this.word !== word) {
      this.word = word;
      put(this.sign, sign(device.connected ? "ok" : "off", word));
    }
    say(this.template, device.template);
    say(this.added, device.added);
  }

  async act(what, words, button) {
    if (!button.dataset.asked) {
      button.dataset.asked = "yes";
      say(button, "Really?");
      setTimeout(() => {
        delete button.dataset.asked;
        say(button, words);
      }, 4000);
      return;
    }
    const found = await this.view.act("/api/device", { do: what, name: this.name }, button);
    if (!found) return;
    if (what === "renew") this.view.showAdded(found);
    else this.view.tell(found.words.join(" "));
    this.view.load();
  }
}

class JobRow {
  constructor(view) {
    this.title = h("h3", {});
    this.state = h("span", {});
    this.stop = h("button", { type: "button", class: "danger act", onclick: () => this.view.act("/api/stop", { job: this.number }, this.stop) }, "Stop");
    this.view = view;
    this.bar = h("progress", { max: "100" });
    this.what = h("p", { class: "dim small" });
    this.lines = h("ol", { class: "said-lines" });
    this.node = h("article", { class: "card job" }, h("header", {}, this.title, this.state, h("span", { class: "grow" }), this.stop), this.bar, this.what, this.lines);
    this.lineRows = new Rows(this.lines, ([, line]) => ({ node: h("li", { class: line.event }, line.text) }));
  }

  update(job) {
    this.number = job.number;
    say(this.title, job.title);
    const words = { running: "under way", done: "done", failed: "failed", stopped: "stopped" }[job.state];
    say(this.state, job.took_s === null ? `since ${clock(job.began_at_ms)}, by ${job.by}` : `${words} after ${seconds(job.took_s)}`);
    this.state.className = { done: "good", failed: "bad", stopped: "warn" }[job.state] ?? "dim";
    this.stop.hidden = job.state !== "running";
    const progress = job.progress;
    this.bar.hidden = job.state !== "running";
    if (progress?.total) mark(this.bar, "value", String((100 * progress.done) / progress.total));
    else mark(this.bar, "value", null);
    mark(this.bar, "aria-label", progress ? progress.what : "under way");
    say(this.what, progress ? `${progress.what}: ${bytes(progress.done)} of ${bytes(progress.total)}` : "");
    this.what.hidden = !progress;
    this.lineRows.show(job.lines.map((line, index) => [index, line]), ([index, line]) => `${index} ${line.text}`);
  }
}
