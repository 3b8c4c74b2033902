/** Tiles, weights and pixels are Python's, to the bit. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Cancelled, Problem } from "../../../export/web/site/core/problems.js";
import { axisWeights, planTiles, reflect } from "../../../export/web/site/core/tile_plan.js";
import { deblurPicture } from "../../../export/web/site/core/tiling.js";
import { arrays, json } from "./golden.mjs";

const vectors = arrays("tiling.npz");
const CASES = Object.keys(vectors).filter((name) => name.startsWith("case")).length;

function golden(number) {
  const [height, width, radius] = vectors[`case${number}`].data;
  const after = vectors[`after${number}`];
  const model = { size: [height, width], multiple: 32, smallest: null, radius: radius < 0 ? null : radius };
  return { model, after, size: after.shape.slice(0, 2) };
}

/** The upper left corner of the golden picture, as a source of RGBA rows. */
function sourceOf([height, width], picture = vectors.picture) {
  return {
    height,
    width,
    read(top, count) {
      const rows = new Uint8Array(count * width * 4);
      for (let y = 0; y < count; y++)
        for (let x = 0; x < width; x++)
          for (let c = 0; c < 3; c++)
            rows[(y * width + x) * 4 + c] = picture.data[((top + y) * picture.shape[1] + x) * 3 + c];
      return rows;
    },
  };
}

class Canvas {
  constructor([height, width]) {
    this.width = width;
    this.rgba = new Uint8Array(height * width * 4);
    this.write = (top, count, rgba) => this.rgba.set(rgba.subarray(0, count * width * 4), top * width * 4);
  }

  rgb() {
    return this.rgba.filter((_, i) => i % 4 !== 3);
  }
}

/** `fake_network` of make_golden.py. */
async function fakeNetwork(image, [height, width]) {
  const out = new Float32Array(image.length);
  let at = 0;
  for (let c = 0; c < 3; c++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++, at++) out[at] = image[at] * 0.5 + (((7 * y + 13 * x + 5 * c) % 31) - 15) / 64;
  return out;
}

test("plans of fixed sizes are Python's", () => {
  const plans = json("plans.json");
  assert.equal(plans.length, 13);
  for (const { picture, tile, multiple, padded, rows, columns } of plans)
    assert.deepEqual(planTiles(picture, { size: tile, multiple }), { padded, tile, rows, columns });
});

test("plans of free sizes are Python's", () => {
  const plans = json("free_plans.json");
  assert.ok(plans.length >= 8);
  for (const { picture, multiple, smallest, ...plan } of plans)
    assert.deepEqual(planTiles(picture, { size: null, multiple, smallest }), plan);
});

test("weights are Python's and sum to one", () => {
  const weights = arrays("weights.npz");
  for (let number = 0; number < CASES; number++) {
    const { model, size } = golden(number);
    const plan = planTiles(size, model);
    for (const [axis, origins, tile] of [["rows", plan.rows, model.size[0]], ["columns", plan.columns, model.size[1]]]) {
      const own = axisWeights(origins, tile, model.radius);
      assert.deepEqual(own.flatMap((part) => [...part]), [...weights[`${axis}${number}`].data]);
      for (let place = 0; place < origins.at(-1) + tile; place++)
        assert.equal(origins.reduce((sum, origin, i) => sum + (own[i][place - origin] ?? 0), 0), 1);
    }
  }
});

test("pictures of any size come out as Python's, bit for bit", async () => {
  assert.equal(CASES, 8);
  for (let number = 0; number < CASES; number++) {
    const { model, after, size } = golden(number);
    const canvas = new Canvas(size);
    await deblurPicture(fakeNetwork, sourceOf(size), canvas.write, model);
    assert.deepEqual(canvas.rgb(), after.data, `case ${number}`);
    assert.ok(canvas.rgba.every((value, i) => i % 4 !== 3 || value === 255));
  }
});

test("bytes become Python's floats, and floats its bytes", async () => {
  const { floats, values, levels } = arrays("conversion.npz");
  const model = { size: [32, 32], multiple: 32, radius: null };
  const picture = { shape: [8, 32, 3], data: Uint8Array.from({ length: 768 }, (_, i) => i / 3) };
  let taken;
  await deblurPicture(async (image) => (taken = image.slice()), sourceOf([8, 32], picture), () => {}, model);
  assert.deepEqual(taken.slice(0, 256), floats.data);
  const canvas = new Canvas([32, 32]);
  const given = new Float32Array(3072).map((_, i) => values.data[(i % 1024) * 3 + Math.floor(i / 1024)]);
  const blank = { shape: [32, 32, 3], data: new Uint8Array(3072) };
  await deblurPicture(async () => given, sourceOf([32, 32], blank), canvas.write, model);
  assert.deepEqual(canvas.rgb(), levels.data);
});

test("reflection does not repeat the edge", () => {
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7, 8].map((x) => reflect(x, 4)), [0, 1, 2, 3, 2, 1, 0, 1, 2]);
  assert.deepEqual([0, 1, 2].map((x) => reflect(x, 1)), [0, 0, 0]);
});

test("progress counts tiles, and cancel stops before the next one", async () => {
  const source = sourceOf([100, 100]);
  const model = { size: [64, 64], multiple: 32, radius: null };
  const told = [];
  const hooks = { progress: (done, all) => told.push([done, all]) };
  await deblurPicture(async (image) => image, source, () => {}, model, hooks);
  assert.deepEqual(told, [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => [n, 9]));
  told.length = 0;
  const stopping = { ...hooks, cancelled: () => told.length === 2 };
  await assert.rejects(deblurPicture(async (image) => image, source, () => {}, model, stopping), Cancelled);
  assert.deepEqual(told, [[1, 9], [2, 9]]);
});

test("a network that gives no picture is refused", async () => {
  const model = { size: [64, 64], multiple: 32, radius: null };
  for (const bad of [NaN, 3, -1.1, Infinity]) {
    const infer = async (image) => image.map((value, i) => (i === 100 ? bad : value));
    await assert.rejects(deblurPicture(infer, sourceOf([9, 9]), () => {}, model), Problem);
  }
  await assert.rejects(deblurPicture(async () => new Float32Array(5), sourceOf([9, 9]), () => {}, model), Problem);
});
