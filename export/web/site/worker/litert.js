/** LiteRT.js: runs `.tflite` files on the CPU, pictures of bytes in and out. */

import { fromLevels, toLevels } from "../core/levels.js";
import { importScript } from "./script.js";

/** @typedef {import("./engine.js").Session} Session */

const FOLDER = new URL("../litert/", import.meta.url);

/** What `createWasmLib` starts the runtime with: options of Emscripten's modules. @type {object} */
let options = {};

/** @type {import("./engine.js").Runtime} */
export const litert = {
  async chooseBuild(_backend, isolated) {
    const library = await importScript(new URL("litert.js", FOLDER));
    const relaxed = await library.supportsFeature("relaxedSimd");
    const threaded = isolated && relaxed;
    const name = `litert.${threaded ? "threads" : relaxed ? "plain" : "compat"}`;
    return {
      binary: new URL(`${name}.gz`, FOLDER),
      threaded,
      why: isolated && !relaxed ? "This browser has no relaxed SIMD, which LiteRT.js's threads need." : "",
      open: (...given) => open(library, new URL(`${name}.js`, FOLDER).href, ...given),
    };
  },
};

/**
 * @param {any} library
 * @param {string} script of the build
 * @param {Uint8Array<ArrayBuffer>} binary
 * @param {Uint8Array<ArrayBuffer>} weights
 * @param {import("../core/manifest.js").Model} model
 * @param {number} threads
 * @returns {Promise<Session>}
 */
async function open(library, script, binary, weights, { size }, threads) {
  options = {
    wasmBinary: binary,
    mainScriptUrlOrBlob: script, // of its threads' workers
    print() {}, // notes on delegates
    printErr() {},
  };
  await library.loadLiteRt(script);
  const compiled = await library.loadAndCompile(weights, {
    accelerator: "wasm",
    cpuOptions: { numThreads: threads },
  });
  return { version: library.VERSION, infer: inferWith(library.Tensor, compiled, /** @type {any} */ (size)) };
}

/**
 * A network of bytes (1, h, w, 3) as one of floats; its tensors lie outside JavaScript's memory.
 *
 * @param {any} Tensor of the library
 * @param {{run: (inputs: any[]) => Promise<any[]>}} compiled
 * @param {[number, number]} size (h, w)
 * @returns {import("../core/tiling.js").Infer}
 */
export function inferWith(Tensor, compiled, [height, width]) {
  const levels = new Uint8Array(height * width * 3);
  const output = new Float32Array(levels.length);
  return async (image) => {
    toLevels(image, levels);
    const input = new Tensor(levels, [1, height, width, 3]);
    /** @type {any[]} */
    let results = [];
    try {
      results = await compiled.run([input]);
      fromLevels(await results[0].data(), output);
      return output;
    } finally {
      for (const tensor of [input, ...results]) tensor.delete();
    }
  };
}

/**
 * For the library, in place of its package wasm-utils, which calls importScripts: workers of modules have none.
 *
 * @param {new (module: object) => object} LiteRt
 * @param {string} script which sets `ModuleFactory`
 */
export async function createWasmLib(LiteRt, script) {
  await importScript(new URL(script));
  return new LiteRt(await /** @type {any} */ (globalThis).ModuleFactory(options));
}
