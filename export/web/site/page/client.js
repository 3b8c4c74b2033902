/** The page's side of the worker. */

import { Cancelled, Problem } from "../core/problems.js";

/** @typedef {import("../core/manifest.js").Model} Model */
/** @typedef {{backend: "webgpu" | "wasm", threads: number, load_ms: number, version: string, why: string}} Opened */

export class Client {
  /** @type {Worker | null} */
  #worker = null;
  /** @type {Map<number, {resolve: Function, reject: Function, progress: Function}>} */
  #waiting = new Map();
  #last = 0;

  /**
   * Start anew with a model; what ran before is dropped.
   *
   * @param {Model} model
   * @param {"auto" | "webgpu" | "wasm"} asked
   * @param {(what: string, done: number, all: number) => void} progress in bytes
   * @returns {Promise<Opened>}
   */
  open(model, asked, progress) {
    this.close();
    this.#worker = new Worker(new URL("../worker/worker.js", import.meta.url), { type: "module" });
    this.#worker.addEventListener("message", ({ data }) => this.#answered(data));
    this.#worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#fail(new Problem(`The page's worker ended (${event.message || "it could not be loaded"}); reload the page.`));
    });
    return this.#ask({ work: "open", model, asked, doing: `Loading ${model.file}` }, progress);
  }

  /** @param {File} file @param {(done: number, all: number) => void} progress in tiles */
  deblur(file, progress) {
    return this.#ask({ work: "deblur", file, doing: `Deblurring ${file.name}` }, progress);
  }

  /** @param {(done: number, all: number) => void} progress in runs */
  benchmark(progress) {
    return this.#ask({ work: "benchmark", doing: "The benchmark" }, progress);
  }

  /** What runs ends before its next tile, with `Cancelled`. */
  cancel() {
    this.#worker?.postMessage({ work: "cancel" });
  }

  close() {
    this.#worker?.terminate();
    this.#worker = null;
    this.#fail(new Cancelled());
  }

  /** @param {object} message @param {Function} progress @returns {Promise<any>} */
  #ask(message, progress) {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, progress });
      this.#worker?.postMessage({ id, ...message });
    });
  }

  /** @param {any} data */
  #answered({ id, progress, done, problem, cancelled }) {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    if (progress) {
      waiting.progress(...progress);
      return;
    }
    this.#waiting.delete(id);
    if (problem === undefined) waiting.resolve(done);
    else waiting.reject(cancelled ? new Cancelled() : new Problem(problem));
  }

  /** @param {Error} error */
  #fail(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
