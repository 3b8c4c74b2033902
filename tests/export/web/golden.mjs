/** The vectors in `tests/golden`, which the Python code made and the Kotlin tests read too. */

import { readFileSync } from "node:fs";

const FOLDER = new URL("../../golden/", import.meta.url);

/** @param {string} name */
export function text(name) {
  return readFileSync(new URL(name, FOLDER), "utf8");
}

/** @param {string} name */
export function json(name) {
  return JSON.parse(text(name));
}

/** The arrays of an uncompressed .npz file, by name. @param {string} name */
export function arrays(name) {
  const file = readFileSync(new URL(name, FOLDER));
  const found = {};
  for (let at = 0; file.readUInt32LE(at) === 0x04034b50; ) {
    const [nameBytes, extraBytes] = [file.readUInt16LE(at + 26), file.readUInt16LE(at + 28)];
    const inner = file.toString("latin1", at + 30, at + 30 + nameBytes);
    const extra = at + 30 + nameBytes;
    const start = extra + extraBytes;
    // NumPy writes 64-bit sizes: the field 0x0001 of the extra block.
    const bytes = file.readUInt32LE(at + 18) === 0xffffffff ? Number(file.readBigUInt64LE(extra + 12)) : file.readUInt32LE(at + 18);
    found[inner.replace(".npy", "")] = npy(file.subarray(start, start + bytes));
    at = start + bytes;
  }
  return found;
}

/** @param {Buffer} file */
function npy(file) {
  const header = file.toString("latin1", 10, 10 + file.readUInt16LE(8));
  const shape = header.match(/'shape': \(([^)]*)\)/)[1].split(",").filter((s) => s.trim()).map(Number);
  const data = Uint8Array.from(file.subarray(10 + file.readUInt16LE(8)));
  const kind = header.match(/'descr': '([^']+)'/)[1];
  if (kind !== "|u1" && kind !== "<f4") throw new Error(`${kind} is not read here`);
  return { shape, data: kind === "|u1" ? data : new Float32Array(data.buffer) };
}
