/** Reads and edits an EXIF block in place, so that maker notes and unknown tags stay byte for byte. */

const ORIENTATION = 0x0112;
const EXIF_DIRECTORY = 0x8769;
const WIDTH = 0xa002;
const HEIGHT = 0xa003;
const SHORT = 3;
const LONG = 4;

/**
 * The orientation, 1 to 8 as in the EXIF standard; 1 where the block is damaged or says nothing else.
 *
 * @param {Uint8Array | null} block TIFF structure, without `Exif\0\0` before it
 */
export function orientationOf(block) {
  const exif = block && open(block);
  const entry = exif?.main.entries.get(ORIENTATION);
  const value = exif && entry !== undefined ? exif.value(entry) : null;
  return value !== null && value >= 1 && value <= 8 ? value : 1;
}

/**
 * The block for upright pixels: orientation 1, width and height to match, no thumbnail, which would show the
 * blurry picture. A block that cannot be read is returned as it is.
 *
 * @param {Uint8Array} block
 * @returns {Uint8Array}
 */
export function uprightExif(block) {
  const copy = block.slice();
  const exif = open(copy);
  if (!exif) return copy;
  const turned = orientationOf(copy) >= 5;
  const entry = exif.main.entries.get(ORIENTATION);
  if (entry !== undefined) exif.setShort(entry, 1);
  if (exif.main.nextAt !== null) exif.view.setUint32(exif.main.nextAt, 0, exif.little);
  const pointer = exif.main.entries.get(EXIF_DIRECTORY);
  const inner = pointer === undefined ? null : exif.directory(exif.value(pointer) ?? 0);
  const width = inner?.entries.get(WIDTH);
  const height = inner?.entries.get(HEIGHT);
  if (turned && width !== undefined && height !== undefined) {
    const [wide, high] = [exif.value(width), exif.value(height)];
    if (wide !== null && high !== null) {
      exif.setLong(width, high);
      exif.setLong(height, wide);
    }
  }
  return copy;
}

/** @param {Uint8Array} block @returns {Block | null} */
function open(block) {
  if (block.length < 8) return null;
  const little = block[0] === 0x49 && block[1] === 0x49 && block[2] === 42 && block[3] === 0;
  const big = block[0] === 0x4d && block[1] === 0x4d && block[2] === 0 && block[3] === 42;
  if (!little && !big) return null;
  const exif = new Block(block, little);
  return exif.main.entries.size ? exif : null;
}

class Block {
  /** @param {Uint8Array} bytes @param {boolean} little byte order */
  constructor(bytes, little) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.little = little;
    this.main = this.directory(this.view.getUint32(4, little));
  }

  /**
   * Tag -> offset of its entry, and the offset of the pointer to the next directory.
   *
   * @param {number} at
   * @returns {{entries: Map<number, number>, nextAt: number | null}}
   */
  directory(at) {
    const { view, little } = this;
    const entries = new Map();
    if (at + 2 > view.byteLength) return { entries, nextAt: null };
    const end = at + 2 + 12 * view.getUint16(at, little);
    if (end > view.byteLength) return { entries, nextAt: null };
    for (let entry = at + 2; entry < end; entry += 12) entries.set(view.getUint16(entry, little), entry);
    return { entries, nextAt: end + 4 <= view.byteLength ? end : null };
  }

  /** A single SHORT or LONG, or null. @param {number} entry */
  value(entry) {
    const kind = this.view.getUint16(entry + 2, this.little);
    if (kind === SHORT) return this.view.getUint16(entry + 8, this.little);
    return kind === LONG ? this.view.getUint32(entry + 8, this.little) : null;
  }

  /** @param {number} entry @param {number} value */
  setShort(entry, value) {
    this.view.setUint16(entry + 2, SHORT, this.little);
    this.view.setUint32(entry + 8, 0, this.little);
    this.view.setUint16(entry + 8, value, this.little);
  }

  /** @param {number} entry @param {number} value */
  setLong(entry, value) {
    this.view.setUint16(entry + 2, LONG, this.little);
    this.view.setUint32(entry + 8, value, this.little);
  }
}
