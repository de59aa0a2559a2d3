// mqtt-packet as a second opinion: reads {module, write: [packet...], read: [hex...]} from standard input, answers
// {written: [hex...], read: [packet...]}. Binary fields travel as {"hex": "..."}.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const request = JSON.parse(readFileSync(0, "utf8"));
const mqtt = createRequire(import.meta.url)(request.module);

const fromJson = (key, value) => (value && value.hex !== undefined ? Buffer.from(value.hex, "hex") : value);
const toJson = function (key, value) {
  const given = this[key]; // Buffer has a toJSON of its own, which ran before
  return Buffer.isBuffer(given) ? { hex: given.toString("hex") } : value;
};
const packets = JSON.parse(JSON.stringify(request.write), fromJson);
const written = packets.map((packet) => mqtt.generate(packet, { protocolVersion: 4 }).toString("hex"));
const read = request.read.map((hex) => {
  const parser = mqtt.parser({ protocolVersion: 4 });
  let found = { error: "incomplete" };
  parser.on("packet", (packet) => (found = packet));
  parser.on("error", (error) => (found = { error: error.message }));
  parser.parse(Buffer.from(hex, "hex"));
  return found;
});
process.stdout.write(JSON.stringify({ written, read }, toJson));
