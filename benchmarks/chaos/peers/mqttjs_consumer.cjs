// The consumer with MQTT.js and its default store: its handler appends to a file and syncs it.
//
//     node mqttjs_consumer.cjs URL FOLDER QOS COUNT
"use strict";

const { Notes, connect, TOPIC } = require("./mqttjs.cjs");

const [url, folder, qos] = process.argv.slice(2);

const handled = new Notes(folder, "handled");
const client = connect(url, "consumer");

client.on("message", (_topic, payload) => {
  handled.take(Number(payload));
  handled.sync();
});
client.on("connect", () => {
  client.subscribe(TOPIC, { qos: Number(qos) }, (error) => {
    if (!error) console.log("ready");
  });
});
