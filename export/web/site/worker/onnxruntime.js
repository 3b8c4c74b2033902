/** onnxruntime-web: runs `.onnx` files, on the CPU or the graphics processor. */

import { importScript } from "./script.js";

/** @typedef {import("./engine.js").Session} Session */

const FOLDER = new URL("../ort/", import.meta.url);

/** The page loads one of the two: the one without WebGPU is half the size. @type {import("./engine.js").Runtime} */
export const onnxruntime = {
  async chooseBuild(backend, isolated) {
    const name = backend === "webgpu" ? "ort.webgpu" : "ort.wasm";
    return {
      binary: new URL(`${name}.gz`, FOLDER),
      threaded: isolated,
      why: "",
      open: async (...given) => open(await importScript(new URL(`${name}.js`, FOLDER)), backend, ...given),
    };
  },
};

/**
 * @param {any} ort
 * @param {import("./engine.js").Backend} backend
 * @param {Uint8Array<ArrayBuffer>} binary
 * @param {Uint8Array<ArrayBuffer>} weights
 * @param {import("../core/manifest.js").Model} model
 * @param {number} threads
 * @returns {Promise<Session>}
 */
async function open(ort, backend, binary, weights, model, threads) {
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmBinary = binary;
  const session = await ort.InferenceSession.create(weights, {
    executionProviders: [backend],
    // A memory plan for one size allocates a second block beside the first run's.
    enableMemPattern: model.size !== null,
  });
  return {
    version: ort.env.versions.web,
    async infer(image, [height, width]) {
      const feed = new ort.Tensor("float32", image, [1, 3, height, width]);
      const results = await session.run({ [model.input]: feed });
      return results[model.output].data;
    },
  };
}
