// What producer and consumer with MQTT.js share: a client with a persistent session, and notes in files.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const mqtt = require("mqtt"); // NODE_PATH says where

const RECONNECT_MS = 20; // as in __init__.py

function connect(url, clientId) {
  const client = mqtt.connect(url, {
    clientId,
    clean: false,
    keepalive: Number(process.env.KEEP_ALIVE),
    reconnectPeriod: RECONNECT_MS,
  });
  client.on("error", () => {}); // it connects again by itself
  return client;
}

class Notes {
  constructor(folder, name) {
    const file = path.join(folder, name);
    this.numbers = fs.existsSync(file) ? fs.readFileSync(file, "ascii").split("\n").filter(Boolean).map(Number) : [];
    this.file = fs.openSync(file, "a");
  }

  take(number) {
    fs.writeSync(this.file, `${number}\n`);
  }

  sync() {
    fs.fsyncSync(this.file);
  }
}

module.exports = { Notes, connect, TOPIC: "readings" };
