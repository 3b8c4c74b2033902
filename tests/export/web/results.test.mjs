/** Statistics, manifests, downloads, the choice of a backend, and the benchmark's file. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { CONTENT, RUNS, WARMUP, measure, resultText } from "../../../export/web/site/core/benchmark.js";
import { download, gunzipped, sha256 } from "../../../export/web/site/core/download.js";
import { parseManifest } from "../../../export/web/site/core/manifest.js";
import { duration, spread } from "../../../export/web/site/core/numbers.js";
import { Cancelled, Problem, sentenceOf } from "../../../export/web/site/core/problems.js";
import { chooseBackend } from "../../../export/web/site/worker/engine.js";
import { json, text } from "./golden.mjs";

const MANIFEST = text("browser.onnx.json");
const ORT = "onnxruntime-web";
const STORED = new URL("../../golden/browser.json", import.meta.url);

test("medians and percentiles are Python's", () => {
  const cases = json("statistics.json");
  assert.equal(cases.length, 5);
  for (const { ms, median, p5, p95 } of cases) {
    const given = spread(ms);
    for (const [got, wanted] of [[given.median, median], [given.p5, p5], [given.p95, p95]])
      assert.ok(Math.abs(got - wanted) <= 1e-12 * wanted);
  }
});

test("durations", () => {
  assert.deepEqual([3.14, 85.4, 840, 12_345].map(duration), ["3.1 ms", "85 ms", "0.84 s", "12 s"]);
});

test("a manifest tells what tiling and the engine need", () => {
  const model = parseManifest("browser.onnx", MANIFEST, ORT);
  assert.deepEqual([model.size, model.multiple, model.radius, model.smallest], [[32, 64], 32, 283, null]);
  assert.deepEqual([model.input, model.output, model.target, model.bytes], ["image", "deblurred", "onnx-int8", 7]);
  const free = JSON.parse(MANIFEST);
  free.input.shape = [1, 3, "height", "width"];
  assert.equal(parseManifest("m", JSON.stringify(free), ORT).size, null);
});

test("a manifest that this page cannot use is refused with the fix", () => {
  const body = JSON.parse(MANIFEST);
  const bad = [
    ["{", /m: its manifest is not JSON; export it again/],
    ["[]", /not of schema 1/],
    [JSON.stringify({ ...body, schema_version: 2 }), /not of schema 1/],
    [JSON.stringify({ ...body, input: { ...body.input, dtype: "uint8" } }), /image is uint8 NCHW RGB/],
    [JSON.stringify({ ...body, output: { ...body.output, layout: "NHWC" } }), /deblurred is float32 NHWC/],
  ];
  for (const [given, message] of bad) assert.throws(() => parseManifest("m", given, ORT), message);
});

test("a model of bytes is LiteRT.js's, and of no other runtime", () => {
  const stored = text("model.tflite.json");
  const model = parseManifest("m.tflite", stored, "LiteRT.js");
  assert.deepEqual([model.runtime, model.size, model.target], ["LiteRT.js", [64, 96], "tflite-int8"]);
  assert.throws(() => parseManifest("m", stored, ORT), /image is uint8 NHWC RGB \[0, 255\], which this page cannot fill for onnx/);
  assert.throws(() => parseManifest("m", MANIFEST, "LiteRT.js"), /image is float32 NCHW .* for LiteRT.js/);
  assert.throws(() => parseManifest("m", MANIFEST, "another"), /needs the runtime another, which this page does not have/);
});

test("gzip files are unpacked, and what the server unpacked is kept", async () => {
  const plain = Uint8Array.from({ length: 1000 }, (_, i) => i % 7);
  assert.deepEqual(await gunzipped(new Uint8Array(gzipSync(plain))), plain);
  assert.deepEqual(await gunzipped(plain), plain);
  assert.equal(await sha256(new TextEncoder().encode("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
});

test("a file that is not there is named", async (context) => {
  context.mock.method(globalThis, "fetch", async () => new Response("", { status: 404 }));
  await assert.rejects(download(new URL("http://x/models/a.onnx"), "the model"), /the model is missing: the server has no a.onnx \(HTTP 404\)/);
  context.mock.method(globalThis, "fetch", async () => Promise.reject(new TypeError("refused")));
  await assert.rejects(download(new URL("http://x/models/a.onnx"), "the model"), /the server does not answer/);
  context.mock.method(globalThis, "fetch", async () => new Response("12345"));
  const told = [];
  await download(new URL("http://x/a"), "it", (...all) => told.push(all), 5);
  assert.deepEqual(told.at(-1), ["it", 5, 5]);
});

test("the backend, and why", async () => {
  const offer = (gpu) => Object.defineProperty(globalThis, "navigator", { value: { gpu }, configurable: true });
  offer(undefined);
  assert.deepEqual(await chooseBackend("wasm", "onnx-fp32"), { backend: "wasm", why: "" });
  assert.match((await chooseBackend("auto", "onnx-fp32")).why, /no WebGPU/);
  await assert.rejects(chooseBackend("webgpu", "onnx-fp32"), /no WebGPU.*Choose Automatic or CPU/);
  offer({ requestAdapter: async () => ({ info: {} }) });
  assert.deepEqual(await chooseBackend("auto", "tflite-fp32"), { backend: "wasm", why: "TFLite files run on the CPU." });
  await assert.rejects(chooseBackend("webgpu", "tflite-fp32"), /TFLite files on the CPU only. Choose Automatic or CPU/);
  offer({ requestAdapter: async () => null });
  assert.match((await chooseBackend("auto", "onnx-fp32")).why, /no graphics processor/);
  offer({ requestAdapter: async () => Promise.reject(new Error("lost")) });
  assert.equal((await chooseBackend("auto", "onnx-fp32")).backend, "wasm");
  offer({ requestAdapter: async () => ({ info: { isFallbackAdapter: true } }) });
  assert.match((await chooseBackend("auto", "onnx-fp32")).why, /only emulated/);
  assert.equal((await chooseBackend("webgpu", "onnx-fp32")).backend, "webgpu");
  offer({ requestAdapter: async () => ({ info: { isFallbackAdapter: false } }) });
  assert.deepEqual(await chooseBackend("auto", "onnx-fp32"), { backend: "webgpu", why: "" });
  assert.equal((await chooseBackend("auto", "onnx-int8")).backend, "wasm");
  assert.equal((await chooseBackend("webgpu", "onnx-int8")).backend, "webgpu");
});

test("what went wrong is one sentence", () => {
  assert.equal(sentenceOf(new Problem("No."), "x"), "No.");
  assert.match(sentenceOf(new RangeError("Array buffer allocation failed"), "Deblurring a.jpg"), /not enough memory for Deblurring a.jpg/);
  assert.equal(sentenceOf(new TypeError("odd"), "Loading"), "Loading failed: odd");
});

/** A network whose runs take 10, 11, 12, 13 ms in turn, on a clock that moves 0.5 ms when it is read. */
function fakes() {
  let now = 0;
  let runs = 0;
  const infer = async (image) => {
    now += 10 + (runs++ % 4);
    return image.slice();
  };
  return { infer, clock: () => (now += 0.5) };
}

test("the benchmark's file is the stored one, letter by letter", async () => {
  const { infer, clock } = fakes();
  const model = parseManifest("browser.onnx", MANIFEST, ORT);
  const told = [];
  const times = await measure(infer, model, { clock, progress: (done, all) => told.push([done, all]) });
  assert.deepEqual(told.at(-1), [1 + WARMUP + 2 * RUNS, 1 + WARMUP + 2 * RUNS]);
  const fields = {
    measured_on: "2026-11-26",
    edgedeblur: "0.2.0",
    onnxruntime_web: "1.30.0",
    browser: { user_agent: "Mozilla/5.0 (a test)", cores: 8, memory_gib: 8, gpu: null },
    model: model.file,
    backend: "wasm",
    threads: 4,
    ran: "Ran on the CPU (WebAssembly, 4 threads). WebGPU finds no graphics processor on this machine.",
    content: CONTENT,
    warmup: WARMUP,
    load_ms: 250,
    ...times,
  };
  const written = resultText(fields, model.text);
  if (process.env.REWRITE) writeFileSync(STORED, written);
  assert.equal(written, readFileSync(STORED, "utf8"));
  assert.deepEqual(JSON.parse(written).manifest, JSON.parse(MANIFEST));
});

test("a benchmark stops between two runs", async () => {
  const { infer } = fakes();
  let asked = 0;
  const hooks = { cancelled: () => ++asked === 3 };
  await assert.rejects(measure(infer, parseManifest("m", MANIFEST, ORT), hooks), Cancelled);
});
