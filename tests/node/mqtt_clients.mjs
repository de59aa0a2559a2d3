// MQTT.js for tests/interop/matrix/node_peer.py: connections that are opened, used and closed by lines of JSON.
//   node mqtt_clients.mjs PATH_OF_THE_PACKAGE
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const mqtt = createRequire(import.meta.url)(process.argv[2]);
const clients = new Map();
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");

const todo = {
  connect({ client: name, options }) {
    const { url, ca, ...more } = options;
    if (ca) more.ca = readFileSync(ca);
    if (!more.clientId) more.clientId = "";
    return new Promise((done, failed) => {
      const client = mqtt.connect(url, { ...more, reconnectPeriod: 0, resubscribe: false });
      clients.set(name, client);
      let code;
      client.on("connect", (packet) => done(packet.sessionPresent));
      client.on("error", failed);
      client.on("disconnect", (packet) => (code = packet.reasonCode));
      client.on("close", () => say({ client: name, event: "end", code }));
      client.on("message", (topic, payload, packet) =>
        say({ client: name, event: "message", topic, payload: payload.toString("hex"), qos: packet.qos,
              retain: packet.retain, properties: packet.properties ?? {} }));
    });
  },
  subscribe: ({ client, filter, options }) =>
    new Promise((done, failed) =>
      clients.get(client).subscribe(filter, options, (error, granted) =>
        error ? failed(error) : done(granted[0].qos))),
  unsubscribe: ({ client, filter }) =>
    new Promise((done, failed) =>
      clients.get(client).unsubscribe(filter, {}, (error, packet) =>
        error ? failed(error) : done(packet?.granted ?? packet?.reasonCode ?? null))),
  publish: ({ client, topic, payload, options }) => {
    const correlation = options.properties?.correlationData;
    if (correlation) options.properties.correlationData = Buffer.from(correlation);
    return new Promise((done, failed) =>
      clients.get(client).publish(topic, Buffer.from(payload, "hex"), options, (error) =>
        error ? failed(error) : done(null)));
  },
  close: ({ client }) => new Promise((done) => clients.get(client).end(false, {}, () => done(null))),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: what, ...more } = JSON.parse(line);
  todo[what](more).then(
    (result) => say({ id, result }),
    (error) => say({ id, error: String(error) }),
  );
}
