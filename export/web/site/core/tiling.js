/**
 * Pictures of any size through a network: reflect, tile, blend, crop; `deblur_picture` of
 * `runtimes/pictures/tiling.py`, bit for bit. Shapes: h, w = pixels of a tile; 3 = RGB.
 */

import { Cancelled, Problem } from "./problems.js";
import { axisWeights, planTiles, reflect } from "./tile_plan.js";

/**
 * @typedef {object} Source where pixels come from, a few rows at a time
 * @property {number} height
 * @property {number} width
 * @property {(top: number, count: number) => Uint8ClampedArray | Uint8Array} read whole rows as RGBA
 */
/**
 * @callback Sink takes finished rows from top to bottom
 * @param {number} top
 * @param {number} count
 * @param {Uint8ClampedArray<ArrayBuffer>} rgba `count` rows, opaque
 * @returns {void}
 */
/**
 * @callback Infer
 * @param {Float32Array} image (3, h, w) in [-1, 1]; reused for the next tile
 * @param {[number, number]} size (h, w)
 * @returns {Promise<Float32Array>} the same shape and range; may be reused for the next tile too
 */

/** What each byte is for the network: x / 127.5 - 1, rounded once. */
const LEVELS = Float32Array.from({ length: 256 }, (_, x) => x * Math.fround(2 / 255) - 1);

/**
 * @param {Infer} infer
 * @param {Source} source
 * @param {Sink} sink
 * @param {{size: [number, number] | null, multiple: number, smallest?: number | null, radius: number | null}} model
 * @param {{progress?: (done: number, all: number) => void, cancelled?: () => Promise<boolean> | boolean}} [hooks]
 *   `cancelled` is asked before each tile
 * @throws {Cancelled} if `cancelled` said so; the sink may then hold the upper part
 * @throws {Problem} the network gave something that is not a picture
 */
export async function deblurPicture(infer, source, sink, model, { progress, cancelled } = {}) {
  const plan = planTiles([source.height, source.width], model);
  const [tileHeight, tileWidth] = plan.tile;
  const rowWeights = axisWeights(plan.rows, tileHeight, model.radius);
  const columnWeights = axisWeights(plan.columns, tileWidth, model.radius);
  const image = new Float32Array(3 * tileHeight * tileWidth);
  // Weighted sums of the rows that the current row of tiles covers.
  const band = new Band(tileHeight, plan.padded[1]);
  const all = plan.rows.length * plan.columns.length;
  let done = 0;
  for (const [i, top] of plan.rows.entries()) {
    const rows = new Rows(source, top, tileHeight);
    for (const [j, left] of plan.columns.entries()) {
      if (await cancelled?.()) throw new Cancelled();
      rows.fill(image, left, tileWidth);
      const output = await infer(image, plan.tile);
      checkRange(output, image.length);
      band.add(output, rowWeights[i], columnWeights[j], left);
      progress?.(++done, all);
    }
    // No later tile starts above the next top, so everything above that is final.
    const next = plan.rows[i + 1];
    const finished = next === undefined ? tileHeight : next - top;
    const count = Math.min(finished, source.height - top);
    if (count > 0) sink(top, count, band.pixels(count, source.width));
    if (next !== undefined) band.drop(finished);
  }
}

/** The rows of a picture that a row of tiles covers, mirrored at its right and bottom. */
class Rows {
  /** @param {Source} source @param {number} top @param {number} height of the tiles */
  constructor(source, top, height) {
    this.source = source;
    this.top = top;
    this.height = height;
    // Below the picture's end only mirrored rows follow. They lie within a tile's height above it, or, where the
    // picture is lower than a tile, anywhere in it.
    this.first = Math.max(0, Math.min(top, source.height - height));
    this.pixels = source.read(this.first, Math.min(height, source.height - this.first));
  }

  /** @param {Float32Array} image (3, h, w), written @param {number} left @param {number} width */
  fill(image, left, width) {
    const { source, pixels } = this;
    const plane = this.height * width;
    const columns = Int32Array.from({ length: width }, (_, x) => 4 * reflect(left + x, source.width));
    for (let y = 0; y < this.height; y++) {
      const row = (reflect(this.top + y, source.height) - this.first) * source.width * 4;
      let to = y * width;
      for (let x = 0; x < width; x++, to++) {
        const at = row + columns[x];
        image[to] = LEVELS[pixels[at]];
        image[to + plane] = LEVELS[pixels[at + 1]];
        image[to + 2 * plane] = LEVELS[pixels[at + 2]];
      }
    }
  }
}

class Band {
  /** @param {number} height of a tile @param {number} width padded */
  constructor(height, width) {
    this.height = height;
    this.width = width;
    this.planes = [0, 1, 2].map(() => new Float32Array(height * width));
  }

  /**
   * Every sum is rounded once to float32, as in Python: products of two float32 are exact in float64.
   *
   * @param {Float32Array} tile @param {Float32Array} rowWeights @param {Float32Array} columnWeights
   * @param {number} left where the tile begins
   */
  add(tile, rowWeights, columnWeights, left) {
    const width = columnWeights.length;
    let from = 0;
    for (const plane of this.planes) {
      for (let y = 0; y < this.height; y++) {
        let to = y * this.width + left;
        for (let x = 0; x < width; x++, to++, from++) {
          const weight = Math.fround(rowWeights[y] * columnWeights[x]);
          plane[to] += tile[from] * weight;
        }
      }
    }
  }

  /** The first `count` rows as opaque RGBA, cropped to `width`. */
  pixels(/** @type {number} */ count, /** @type {number} */ width) {
    const rgba = new Uint8ClampedArray(count * width * 4).fill(255);
    for (const [channel, plane] of this.planes.entries()) {
      for (let y = 0; y < count; y++) {
        let from = y * this.width;
        let to = y * width * 4 + channel;
        for (let x = 0; x < width; x++, from++, to += 4) {
          // Storing into a clamped array rounds halves to even, as NumPy does.
          rgba[to] = Math.fround(plane[from] * 127.5 + 127.5);
        }
      }
    }
    return rgba;
  }

  /** Move everything up by `rows`. */
  drop(/** @type {number} */ rows) {
    for (const plane of this.planes) {
      plane.copyWithin(0, rows * this.width);
      plane.fill(0, (this.height - rows) * this.width);
    }
  }
}

/** @param {Float32Array} output @param {number} length wanted */
function checkRange(output, length) {
  let low = Infinity;
  let high = -Infinity;
  let sum = 0; // NaN if any value is
  for (const value of output) {
    if (value < low) low = value;
    if (value > high) high = value;
    sum += value;
  }
  if (output.length !== length || !(low >= -1.001 && high <= 1.001) || Number.isNaN(sum)) {
    throw new Problem("The model's output is outside the picture range; use another model or backend.");
  }
}
