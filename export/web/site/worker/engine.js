/** Opens a model with its runtime and runs it. Lives in the worker. */

import { gunzipped, download, sha256 } from "../core/download.js";
import { Problem } from "../core/problems.js";
import { litert } from "./litert.js";
import { onnxruntime } from "./onnxruntime.js";

/** @typedef {"webgpu" | "wasm"} Backend */
/** @typedef {import("../core/manifest.js").Model} Model */
/**
 * @typedef {object} Session an opened model
 * @property {string} version of the runtime
 * @property {import("../core/tiling.js").Infer} infer
 */
/**
 * @typedef {object} Build which of its builds a runtime loads here
 * @property {URL} binary compressed
 * @property {boolean} threaded
 * @property {string} why it has no threads, where the page could have them
 * @property {(binary: Uint8Array<ArrayBuffer>, weights: Uint8Array<ArrayBuffer>, model: Model, threads: number)
 *   => Promise<Session>} open
 */
/**
 * @typedef {object} Runtime
 * @property {(backend: Backend, isolated: boolean) => Promise<Build>} chooseBuild `isolated`: pages that may have threads
 */

/** By the names in `site.json`. @type {Record<string, Runtime>} */
const RUNTIMES = { "onnxruntime-web": onnxruntime, "LiteRT.js": litert };
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
    const build = await RUNTIMES[model.runtime].chooseBuild(backend, self.crossOriginIsolated);
    const [binary, weights] = await Promise.all([
      download(build.binary, "the runtime", progress),
      download(new URL(`../models/${model.file}`, import.meta.url), "the model", progress, model.bytes),
    ]);
    if (weights.length !== model.bytes || ((await sha256(weights)) ?? model.sha256) !== model.sha256) {
      throw new Problem(`${model.file} is not the file that its manifest describes; copy both again.`);
    }
    const start = performance.now();
    const threads = build.threaded ? Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS) : 1;
    let session;
    try {
      session = await build.open(await gunzipped(binary), weights, model, threads);
    } catch (error) {
      if (error instanceof Problem) throw error;
      throw new Problem(`${model.file} does not run on ${backendName(backend)}: ${textOf(error)}`);
    }
    return new Engine(session, build, model, backend, threads, performance.now() - start);
  }

  /**
   * @param {Session} session @param {Build} build @param {Model} model @param {Backend} backend @param {number} threads
   * @param {number} load_ms from the downloaded files to ready
   */
  constructor({ infer, version }, { why }, model, backend, threads, load_ms) {
    this.model = model;
    this.backend = backend;
    this.why = why;
    this.load_ms = load_ms;
    this.threads = backend === "wasm" ? threads : 1;
    this.version = version;
    this.infer = infer;
  }
}

/**
 * Which backend to use, and why.
 *
 * @param {"auto" | Backend} asked
 * @param {string} target the model's
 * @returns {Promise<{backend: Backend, why: string}>}
 * @throws {Problem} WebGPU was asked for and is not there, or not for this model
 */
export async function chooseBackend(asked, target) {
  if (asked === "wasm") return { backend: "wasm", why: "" };
  if (target.startsWith("tflite-")) {
    if (asked === "webgpu") throw new Problem("This page runs TFLite files on the CPU only. Choose Automatic or CPU.");
    return { backend: "wasm", why: "TFLite files run on the CPU." };
  }
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
