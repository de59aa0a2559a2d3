// The producer with MQTT.js and its default store.
//
//     node mqttjs_producer.cjs URL FOLDER QOS COUNT
"use strict";

const { Notes, connect, TOPIC } = require("./mqttjs.cjs");

const [url, folder, qos, count] = process.argv.slice(2);
const WINDOW = 20; // as in __init__.py

const offered = new Notes(folder, "offered");
const accepted = new Notes(folder, "accepted");
const refused = new Notes(folder, "refused"); // publish() has called back with an error: not accepted after all
const client = connect(url, "producer");
let next = Math.max(-1, ...offered.numbers) + 1;
let unconfirmed = 0;

function go() {
  while (next < Number(count) && unconfirmed < WINDOW) {
    const number = next++;
    unconfirmed++;
    offered.take(number);
    client.publish(TOPIC, String(number).padStart(8, "0"), { qos: Number(qos) }, (error) => {
      if (error) refused.take(number);
      unconfirmed--;
      setImmediate(go);
    });
    accepted.take(number);
  }
  if (next >= Number(count) && !unconfirmed) client.end(false, () => process.exit(0));
}

client.once("connect", go);
