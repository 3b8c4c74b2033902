/** Opens a model with onnxruntime-web and runs it. Lives in the worker. */

import { gunzipped, download, sha256 } from "../core/download.js";
import { Problem } from "../core/problems.js";

/** @typedef {"webgpu" | "wasm"} Backend */
/** @typedef {import("../core/manifest.js").Model} Model */

const ORT = new URL("../ort/", import.meta.url);
// The page loads one of the two: the build without WebGPU is half the size.
const BUILDS = {
  wasm: { script: "ort.wasm.js", binary: "ort.wasm.gz" },
  webgpu: { script: "ort.webgpu.js", binary: "ort.webgpu.gz" },
};
const MOST_THREADS = 8;

export class Engine {
  /**
   * @param {Model} model
   * @param {Backend} backend
   * @param {(what: string, done: number, all: number) => void} progress bytes loaded
   * @returns {Promise<Engine>}
   * @throws {Problem} something is missing from the site, or the backend refuses the model
   */
  static async open(model, backend, progress) {
    const build = BUILDS[backend];
    const [binary, weights] = await Promise.all([
      download(new URL(build.binary, ORT), "the runtime", progress),
      download(new URL(`../models/${model.file}`, import.meta.url), "the model", progress, model.bytes),
    ]);
    if (weights.length !== model.bytes || ((await sha256(weights)) ?? model.sha256) !== model.sha256) {
      throw new Problem(`${model.file} is not the file that its manifest describes; copy both again.`);
    }
    const start = performance.now();
    const ort = await import(new URL(build.script, ORT).href);
    const threads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS) : 1;
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmBinary = await gunzipped(binary);
    let session;
    try {
      session = await ort.InferenceSession.create(weights, {
        executionProviders: [backend],
        // A memory plan for one size allocates a second block beside the first run's.
        enableMemPattern: model.size !== null,
      });
    } catch (error) {
      throw new Problem(`${model.file} does not run on ${backendName(backend)}: ${textOf(error)}`);
    }
    return new Engine(ort, session, model, backend, threads, performance.now() - start);
  }

  /**
   * @param {any} ort @param {any} session @param {Model} model @param {Backend} backend @param {number} threads
   * @param {number} load_ms from the downloaded files to ready
   */
  constructor(ort, session, model, backend, threads, load_ms) {
    this.model = model;
    this.backend = backend;
    this.load_ms = load_ms;
    this.threads = backend === "wasm" ? threads : 1;
    this.version = ort.env.versions.web;
    /** @type {import("../core/tiling.js").Infer} */
    this.infer = async (image, [height, width]) => {
      const feed = new ort.Tensor("float32", image, [1, 3, height, width]);
      const results = await session.run({ [model.input]: feed });
      return results[model.output].data;
    };
  }
}

/**
 * Which backend to use, and why.
 *
 * @param {"auto" | Backend} asked
 * @param {string} target the model's
 * @returns {Promise<{backend: Backend, why: string}>}
 * @throws {Problem} WebGPU was asked for and is not there
 */
export async function chooseBackend(asked, target) {
  if (asked === "wasm") return { backend: "wasm", why: "" };
  const missing = await withoutGpu(asked === "webgpu");
  if (missing && asked === "webgpu") throw new Problem(`${missing} Choose Automatic or CPU.`);
  if (missing) return { backend: "wasm", why: missing };
  if (asked === "auto" && target.endsWith("-int8")) {
    return { backend: "wasm", why: "8-bit models run on the CPU, where 8-bit arithmetic is." };
  }
  return { backend: "webgpu", why: "" };
}

/** Why WebGPU cannot be used; empty if it can. @param {boolean} software whether emulation by the CPU will do */
async function withoutGpu(software) {
  const gpu = /** @type {any} */ (navigator).gpu;
  if (!gpu) return "This browser has no WebGPU, or the page did not come over https.";
  const adapter = await gpu.requestAdapter().catch(() => null);
  if (!adapter) return "WebGPU finds no graphics processor on this machine.";
  const emulated = adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter;
  if (emulated && !software) return "WebGPU is only emulated on this machine, which is slow.";
  return "";
}

/** A line on the graphics processor for results, as far as the browser tells. @returns {Promise<string | null>} */
export async function gpuName() {
  const adapter = await /** @type {any} */ (navigator).gpu?.requestAdapter().catch(() => null);
  const { vendor, architecture, description } = adapter?.info ?? {};
  return [vendor, architecture, description].filter(Boolean).join(" ") || null;
}

/** @param {Backend} backend */
export function backendName(backend) {
  return backend === "webgpu" ? "WebGPU" : "WebAssembly";
}

/** @param {unknown} error */
function textOf(error) {
  return error instanceof Error ? error.message : String(error);
}
