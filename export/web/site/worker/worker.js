/** The worker: one engine, one piece of work at a time, so that the page stays responsive. */

import { measure } from "../core/benchmark.js";
import { Engine, chooseBackend, gpuName } from "./engine.js";
import { openPicture } from "./picture.js";
import { Cancelled, sentenceOf } from "../core/problems.js";
import { deblurPicture } from "../core/tiling.js";

/** @type {Engine | null} */
let engine = null;
let stop = false;

/** @typedef {(...told: any[]) => void} Progress */

/** What the page can ask for, by name. @type {Record<string, (data: any, progress: Progress) => Promise<object>>} */
const WORK = { open, deblur, benchmark };

self.addEventListener("message", async ({ data }) => {
  if (data.work === "cancel") {
    stop = true;
    return;
  }
  stop = false;
  const progress = (/** @type {any[]} */ ...told) => self.postMessage({ id: data.id, progress: told });
  try {
    self.postMessage({ id: data.id, done: await WORK[data.work](data, progress) });
  } catch (error) {
    const cancelled = error instanceof Cancelled;
    self.postMessage({ id: data.id, cancelled, problem: sentenceOf(error, data.doing) });
  }
});

/** Messages are read between tiles only if the worker waits for one. */
function cancelled() {
  return new Promise((resolve) => setTimeout(() => resolve(stop)));
}

/**
 * @param {{model: import("../core/manifest.js").Model, asked: "auto" | "webgpu" | "wasm"}} data
 * @param {Progress} progress in bytes
 */
async function open({ model, asked }, progress) {
  const { backend, why } = await chooseBackend(asked, model.target);
  try {
    engine = await Engine.open(model, backend, progress);
    return described(why);
  } catch (error) {
    if (backend === "wasm" || asked === "webgpu") throw error;
    engine = await Engine.open(model, "wasm", progress);
    return described(sentenceOf(error, "WebGPU"));
  }
}

/** @param {string} why this backend */
function described(why) {
  const { backend, threads, load_ms, version, why: fewer } = /** @type {Engine} */ (engine);
  return { backend, threads, load_ms, version, why: `${why} ${fewer}`.trim() };
}

/** @param {{file: File}} data @param {Progress} progress in tiles */
async function deblur({ file }, progress) {
  const { infer, model } = /** @type {Engine} */ (engine);
  const start = performance.now();
  const picture = await openPicture(file);
  try {
    const decoded = performance.now();
    let tiles = 0;
    let infer_ms = 0;
    /** @type {import("../core/tiling.js").Infer} */
    const timed = async (image, size) => {
      const began = performance.now();
      const output = await infer(image, size);
      infer_ms += performance.now() - began;
      tiles++;
      return output;
    };
    /** @type {import("../core/tiling.js").Sink} */
    const sink = (top, count, rgba) => picture.write(top, count, rgba);
    await deblurPicture(timed, picture, sink, model, { progress, cancelled });
    const deblurred = performance.now();
    const encoded = await picture.encoded();
    return {
      ...encoded,
      width: picture.width,
      height: picture.height,
      tiles,
      infer_ms,
      decode_ms: decoded - start,
      deblur_ms: deblurred - decoded,
      encode_ms: performance.now() - deblurred,
    };
  } finally {
    picture.close();
  }
}

/** @param {object} _ @param {Progress} progress in runs */
async function benchmark(_, progress) {
  const { infer, model } = /** @type {Engine} */ (engine);
  return { ...(await measure(infer, model, { progress, cancelled })), gpu: await gpuName() };
}
