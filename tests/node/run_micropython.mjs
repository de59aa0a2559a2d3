// Runs a script on MicroPython's 32-bit WebAssembly build. Reads one JSON object from standard input (tests/runtimes.py,
// wasm_request): package (path of micropython.mjs), files ({path inside: path outside}), main (source, or a list of sources to
// run one after the other: this interpreter collects garbage between them and at no other time), args.
// What the script prints goes to standard output; an uncaught exception goes to standard error and exits with 1,
// SystemExit with its code.
import { readFileSync } from "node:fs";
import { dirname } from "node:path/posix";
import { pathToFileURL } from "node:url";

const request = JSON.parse(readFileSync(0, "utf8"));
const { loadMicroPython } = await import(pathToFileURL(request.package).href);
const micropython = await loadMicroPython({
  linebuffer: false,
  stdout: (data) => process.stdout.write(data),
  stderr: (data) => process.stderr.write(data),
});

for (const [inside, outside] of Object.entries(request.files)) {
  micropython.FS.mkdirTree(dirname(inside));
  micropython.FS.writeFile(inside, readFileSync(outside));
}

try {
  micropython.runPython("import sys\nsys.path[:] = ['/', '.frozen']\ndel sys");
  micropython.globals.set("_args", JSON.stringify(request.args));
  micropython.runPython("import sys, json\nsys.argv[:] = ['main.py'] + json.loads(_args)\ndel sys, json, _args");
  for (const source of [request.main].flat()) micropython.runPython(source);
} catch (error) {
  // Not rethrown: node would print the whole interpreter, which is one line, and its exit code must be the script's.
  if (error.name !== "PythonError") {
    process.stderr.write(`${error}\n`);
    process.exitCode = 1;
  } else if (error.type === "SystemExit") {
    const code = /SystemExit: (\d+)\s*$/.exec(error.message);
    process.exitCode = code ? Number(code[1]) : 0;
  } else {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
