/** Between the network's floats and 8-bit pictures, as `runtimes/io_format.py`, bit for bit. h, w: pixels. */

const MIDDLE = 127.5;

/** What each byte is as a float: two roundings, unlike the one of `tiling.js`. */
const FLOATS = Float32Array.from({ length: 256 }, (_, x) => Math.fround(x / MIDDLE) - 1);

/**
 * @param {Float32Array} image (3, h, w) in [-1, 1]
 * @param {Uint8Array} levels (h, w, 3), written
 */
export function toLevels(image, levels) {
  // Storing into a clamped array rounds halves to even, as NumPy does.
  const clamped = new Uint8ClampedArray(levels.buffer, levels.byteOffset, levels.length);
  const plane = levels.length / 3;
  for (let from = 0, to = 0; from < plane; from++, to += 3) {
    clamped[to] = Math.fround(Math.fround(image[from] + 1) * MIDDLE);
    clamped[to + 1] = Math.fround(Math.fround(image[from + plane] + 1) * MIDDLE);
    clamped[to + 2] = Math.fround(Math.fround(image[from + 2 * plane] + 1) * MIDDLE);
  }
}

/**
 * @param {Uint8Array} levels (h, w, 3)
 * @param {Float32Array} image (3, h, w) in [-1, 1], written
 */
export function fromLevels(levels, image) {
  const plane = levels.length / 3;
  for (let from = 0, to = 0; to < plane; from += 3, to++) {
    image[to] = FLOATS[levels[from]];
    image[to + plane] = FLOATS[levels[from + 1]];
    image[to + 2 * plane] = FLOATS[levels[from + 2]];
  }
}
