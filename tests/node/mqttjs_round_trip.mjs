// MQTT.js: a message of each QoS, there and back.
//
//   node mqttjs_round_trip.mjs FOLDER_OF_THE_PACKAGE URL [CA] [SIZE]
//
// Prints a line of JSON for each message that came back: topic, length, QoS.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [folder, url, ca, size] = process.argv.slice(2);
const mqtt = createRequire(import.meta.url)(folder);
const client = mqtt.connect(url, { ca: ca ? readFileSync(ca) : undefined, reconnectPeriod: 0, keepalive: 1 });

client.on("error", (error) => {
  console.error(String(error));
  process.exit(1);
});
client.on("connect", () => {
  client.subscribe("room/#", { qos: 2 }, () => {
    for (const qos of [0, 1, 2]) client.publish(`room/${qos}`, Buffer.alloc(Number(size || 10), qos), { qos });
  });
});
let left = 3;
client.on("message", (topic, payload, packet) => {
  console.log(JSON.stringify([topic, payload.length, packet.qos]));
  if (--left === 0) client.end();
});
