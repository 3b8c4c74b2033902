/** The manifest beside a model: what the page needs of it, checked. */

import { Problem } from "./problems.js";

const SCHEMA_VERSION = 1;

/** What the page gives the models of each runtime, and how results name its version. */
export const RUNTIMES = new Map([
  ["onnxruntime-web", { takes: "float32 NCHW RGB [-1, 1]", field: "onnxruntime_web" }],
  ["LiteRT.js", { takes: "uint8 NHWC RGB [0, 255]", field: "litert_js" }],
]);

/**
 * @typedef {object} Model what `tiling.js` and `engine.js` need
 * @property {string} file
 * @property {string} text the manifest as it lies on the server, so that its digest still holds in results
 * @property {string} runtime a key of `RUNTIMES`
 * @property {string} target `onnx-fp32`, ...
 * @property {string} network
 * @property {string} sha256
 * @property {number} bytes
 * @property {[number, number] | null} size fixed (height, width); null: any multiples
 * @property {number} multiple
 * @property {number | null} smallest
 * @property {number | null} radius of the receptive field in pixels; null: the whole picture
 * @property {string} input name of the tensor
 * @property {string} output
 */

/**
 * @param {string} file the model's name, for messages
 * @param {string} text
 * @param {string} runtime that the site has for it
 * @returns {Model}
 * @throws {Problem} not a manifest, of another version, or of a model that this page cannot run
 */
export function parseManifest(file, text, runtime) {
  const refuse = (/** @type {string} */ why) =>
    new Problem(`${file}: ${why}; export it again with deblur-export --web.`);
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    throw refuse("its manifest is not JSON");
  }
  if (body?.schema_version !== SCHEMA_VERSION || !body.input?.shape || !body.output?.shape) {
    throw refuse(`its manifest is not of schema ${SCHEMA_VERSION}`);
  }
  const known = RUNTIMES.get(runtime);
  if (!known) throw refuse(`it needs the runtime ${runtime}, which this page does not have`);
  for (const spec of [body.input, body.output]) {
    const [low, high] = spec.value_range;
    const kind = `${spec.dtype} ${spec.layout} ${spec.colour} [${low}, ${high}]`;
    if (kind !== known.takes) throw refuse(`${spec.name} is ${kind}, which this page cannot fill for ${runtime}`);
  }
  const { shape, layout } = body.input;
  const [height, width] = [shape[layout.indexOf("H")], shape[layout.indexOf("W")]];
  const fixed = typeof height === "number" && typeof width === "number";
  return {
    file,
    text,
    runtime,
    target: body.target,
    network: body.network ?? body.backbone,
    sha256: body.sha256,
    bytes: body.bytes,
    size: fixed ? [height, width] : null,
    multiple: body.size_multiple,
    smallest: body.smallest_side ?? null,
    radius: body.receptive_radius_px ?? null,
    input: body.input.name,
    output: body.output.name,
  };
}
