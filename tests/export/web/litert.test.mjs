/** LiteRT.js's side of the worker: bytes in and out, tensors freed, the script loaded. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { fromLevels, toLevels } from "../../../export/web/site/core/levels.js";
import { Problem } from "../../../export/web/site/core/problems.js";
import { createWasmLib, inferWith } from "../../../export/web/site/worker/litert.js";
import { importScript } from "../../../export/web/site/worker/script.js";
import { arrays } from "./golden.mjs";

const { values, bytes, byte_floats } = arrays("conversion.npz");

/** (h, w, 3) as (3, h, w). */
function planes(pixels) {
  const plane = pixels.length / 3;
  return pixels.map((_, i) => pixels[(i % plane) * 3 + Math.floor(i / plane)]);
}

test("floats become Python's bytes, and bytes its floats, to the bit", () => {
  const given = new Uint8Array(values.data.length);
  toLevels(planes(values.data), given);
  assert.deepEqual(given, bytes.data);
  assert.ok(new Set(given).size === 256);
  const image = new Float32Array(768);
  fromLevels(Uint8Array.from({ length: 768 }, (_, i) => i / 3), image);
  assert.deepEqual(image, Float32Array.from([...byte_floats.data, ...byte_floats.data, ...byte_floats.data]));
  const back = new Uint8Array(768);
  toLevels(image, back);
  assert.deepEqual(back, Uint8Array.from({ length: 768 }, (_, i) => i / 3));
});

/** Tensors that count those alive, and a network that inverts bytes. */
function fakes() {
  let alive = 0;
  class Tensor {
    constructor(levels, shape) {
      alive++;
      this.levels = levels.slice();
      this.shape = shape;
    }
    async data() {
      return this.levels;
    }
    delete() {
      alive--;
    }
  }
  const shapes = [];
  const run = async ([input]) => {
    shapes.push(input.shape);
    return [new Tensor(input.levels.map((level) => 255 - level), input.shape)];
  };
  return { Tensor, run, shapes, alive: () => alive };
}

test("a tile goes through as bytes, and its tensors are freed", async () => {
  const { Tensor, run, shapes, alive } = fakes();
  const infer = inferWith(Tensor, { run }, [2, 3]);
  const image = Float32Array.from({ length: 18 }, (_, i) => (i * 15) / 127.5 - 1);
  for (let i = 0; i < 2; i++) {
    const output = await infer(image, [2, 3]);
    output.forEach((value, i) => assert.ok(Math.abs(value + image[i]) < 1e-6));
  }
  assert.deepEqual(shapes, [[1, 2, 3, 3], [1, 2, 3, 3]]);
  assert.equal(alive(), 0);
});

test("tensors are freed when a run fails", async () => {
  const { Tensor, alive } = fakes();
  const run = async () => Promise.reject(new Error("no"));
  await assert.rejects(inferWith(Tensor, { run }, [2, 3])(new Float32Array(18), [2, 3]), /no/);
  assert.equal(alive(), 0);
});

test("the runtime's script is imported, and one that is missing is named", async () => {
  class LiteRt {
    constructor(module) {
      this.module = module;
    }
  }
  const made = await createWasmLib(LiteRt, "data:text/javascript,globalThis.ModuleFactory = async (given) => ({ given })");
  assert.ok(made instanceof LiteRt);
  assert.deepEqual(made.module, { given: {} });
  const missing = importScript(new URL("file:///none/litert.threads.js"));
  await assert.rejects(missing, (error) => error instanceof Problem && /the runtime's litert.threads.js is missing or damaged .*deblur-export --web/.test(error.message));
});
