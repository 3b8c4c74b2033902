/** Measures one model on one picture of its own size, and writes what `deblur-bench --import` reads. */

import { Cancelled } from "./problems.js";
import { deblurPicture } from "./tiling.js";

export const SCHEMA = "edgedeblur.browser";
export const SCHEMA_VERSION = 1;
export const CONTENT = "synthetic picture";
export const WARMUP = 3;
export const RUNS = 10;
const FREE_SIZE = [736, 1280]; // as deblur-bench takes for models of free size

/**
 * @typedef {object} Times in milliseconds
 * @property {[number, number]} size (height, width)
 * @property {number} first_ms
 * @property {number[]} infer_ms float array to float array
 * @property {number[]} end_to_end_ms pixels to pixels
 * @property {number[]} pre_ms
 * @property {number[]} post_ms
 */

/**
 * @param {import("./tiling.js").Infer} infer never called before
 * @param {import("./manifest.js").Model} model
 * @param {{progress?: (done: number, all: number) => void, cancelled?: () => Promise<boolean> | boolean,
 *   clock?: () => number}} [hooks]
 * @returns {Promise<Times>}
 * @throws {Cancelled}
 */
export async function measure(infer, model, { progress, cancelled, clock = () => performance.now() } = {}) {
  const size = /** @type {[number, number]} */ (
    model.size ?? FREE_SIZE.map((side) => Math.ceil(side / model.multiple) * model.multiple)
  );
  const picture = syntheticPicture(size);
  const all = 1 + WARMUP + 2 * RUNS;
  let done = 0;
  const step = async (/** @type {() => Promise<any>} */ run) => {
    if (await cancelled?.()) throw new Cancelled();
    const value = await run();
    progress?.(++done, all);
    return value;
  };
  /** @type {Float32Array | undefined} */
  let image;
  const whole = async () => {
    const start = clock();
    let began = start;
    let ended = start;
    const timed = async (/** @type {Float32Array} */ given, /** @type {[number, number]} */ shape) => {
      image ??= given.slice();
      began = clock();
      const output = await infer(given, shape);
      ended = clock();
      return output;
    };
    await deblurPicture(timed, picture, () => {}, { ...model, size });
    const end = clock();
    return { first: ended - began, total: end - start, pre: began - start, post: end - ended };
  };
  const alone = async () => {
    const start = clock();
    await infer(/** @type {Float32Array} */ (image), size);
    return clock() - start;
  };
  const { first } = await step(whole);
  for (let i = 0; i < WARMUP; i++) await step(alone);
  const infer_ms = [];
  const ends = [];
  for (let i = 0; i < RUNS; i++) infer_ms.push(await step(alone));
  for (let i = 0; i < RUNS; i++) ends.push(await step(whole));
  return {
    size,
    first_ms: first,
    infer_ms,
    end_to_end_ms: ends.map(({ total }) => total),
    pre_ms: ends.map(({ pre }) => pre),
    post_ms: ends.map(({ post }) => post),
  };
}

/**
 * The text of a result file. The manifest goes in letter by letter, because its digest is over its text: numbers
 * such as 50.0 would not survive being read and written here.
 *
 * @param {object} fields everything but the manifest
 * @param {string} manifest
 */
export function resultText(fields, manifest) {
  const text = JSON.stringify({ schema: SCHEMA, schema_version: SCHEMA_VERSION, ...fields }, null, 2);
  return `${text.slice(0, text.lastIndexOf("}")).trimEnd()},\n  "manifest": ${manifest.trim()}\n}\n`;
}

/** Smooth colours with fine structure: values of every size. @param {[number, number]} size */
function syntheticPicture([height, width]) {
  const rgba = new Uint8ClampedArray(height * width * 4).fill(255);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = 4 * (y * width + x);
      rgba[at] = (255 * x) / width;
      rgba[at + 1] = (255 * y) / height;
      rgba[at + 2] = (x * 7 + y * 13) % 256;
    }
  }
  const read = (/** @type {number} */ top, /** @type {number} */ count) =>
    rgba.subarray(top * width * 4, (top + count) * width * 4);
  return { height, width, read };
}
