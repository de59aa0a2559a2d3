// Improv's own client for browsers (improv-wifi-serial-sdk) on a serial line: standard input and output are the line.
//
//   node improv_client.mjs FOLDER_OF_THE_PACKAGE '[["initialize", 2000], ["scan"], …]'
//
// Calls the methods one after the other. On standard error a line of JSON for each: {"result"} or {"error"}, with the
// state and the next URL that the client then knows.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { pathToFileURL } from "node:url";

globalThis.CustomEvent ??= class extends Event {
  constructor(type, options) {
    super(type, options);
    this.detail = options?.detail;
  }
};

const [folder, calls] = process.argv.slice(2);
// It is made for bundlers, which find "./util/hex-formatter" without its ending.
const copy = mkdtempSync(join(tmpdir(), "improv-"));
for (const [from, to] of [["serial.js", "serial.mjs"], ["const.js", "const.mjs"], ["util/hex-formatter.js", "hex.mjs"], ["util/to-hex.js", "to-hex.mjs"]]) {
  const text = readFileSync(join(folder, "dist", from), "utf8");
  const mended = text
    .replace("./const.js", "./const.mjs")
    .replace("./util/hex-formatter", "./hex.mjs")
    .replace(/\.\/to-hex(\.js)?/, "./to-hex.mjs");
  writeFileSync(join(copy, to), mended);
}
const { ImprovSerial } = await import(pathToFileURL(join(copy, "serial.mjs")).href);
rmSync(copy, { recursive: true });

const silent = { log() {}, debug() {}, error(...words) { process.stderr.write(JSON.stringify({ log: words.map(String) }) + "\n"); } };
const port = { readable: Readable.toWeb(process.stdin), writable: Writable.toWeb(process.stdout) };
const client = new ImprovSerial(port, silent);
for (const [method, ...args] of JSON.parse(calls)) {
  let said;
  try {
    said = { result: (await client[method](...args)) ?? null };
  } catch (error) {
    said = { error: String(error?.message ?? error) };
  }
  process.stderr.write(JSON.stringify({ ...said, state: client.state, url: client.nextUrl ?? null }) + "\n");
}
process.exit(0);
