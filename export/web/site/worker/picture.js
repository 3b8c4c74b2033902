/** A photo in the worker: from a file to rows of pixels, and from rows of pixels to a file. */

import { fitsJpeg, readMetadata, writeMetadata } from "../core/containers.js";
import { orientationOf, uprightExif } from "../core/exif.js";
import { Problem } from "../core/problems.js";

const JPEG_QUALITY = 0.95;
// Formats that come back in their own kind, with their colour profile; others become PNG in sRGB.
const KEEPS_PROFILE = ["JPEG", "PNG"];

/**
 * Decode a file, upright.
 *
 * @param {File} file
 * @throws {Problem} not a picture that this browser opens
 */
export async function openPicture(file) {
  const metadata = readMetadata(new Uint8Array(await file.arrayBuffer()));
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {
      imageOrientation: "from-image",
      premultiplyAlpha: "none",
      colorSpaceConversion: KEEPS_PROFILE.includes(metadata.format) ? "none" : "default",
    });
  } catch {
    throw new Problem(
      `${file.name} is not a picture that this browser can open, or it is damaged; take a JPEG, PNG or WebP.`,
    );
  }
  return new Picture(file.name, metadata, bitmap);
}

class Picture {
  /** @param {string} name @param {import("../core/containers.js").Metadata} metadata @param {ImageBitmap} bitmap */
  constructor(name, metadata, bitmap) {
    this.name = name;
    this.metadata = metadata;
    this.bitmap = bitmap;
    this.height = bitmap.height;
    this.width = bitmap.width;
    this.opaque = metadata.format === "JPEG";
    this.rows = context(bitmap.width, 1, name);
    this.after = context(bitmap.width, bitmap.height, name);
  }

  /** As `Source.read` of tiling.js. @param {number} top @param {number} count */
  read(top, count) {
    const { canvas } = this.rows;
    if (canvas.height !== count) canvas.height = count; // which clears it
    else this.rows.clearRect(0, 0, this.width, count);
    this.rows.drawImage(this.bitmap, 0, top, this.width, count, 0, 0, this.width, count);
    return this.rows.getImageData(0, 0, this.width, count).data;
  }

  /** As `Sink` of tiling.js; transparency is the source's. @param {number} top @param {number} count @param {Uint8ClampedArray<ArrayBuffer>} rgba */
  write(top, count, rgba) {
    if (!this.opaque) {
      const before = this.read(top, count);
      for (let at = 3; at < rgba.length; at += 4) rgba[at] = before[at];
    }
    this.after.putImageData(new ImageData(rgba, this.width, count), 0, top);
  }

  /**
   * What was written, as a file with the source's EXIF: JPEG for JPEG, else PNG.
   *
   * @returns {Promise<{blob: Blob, name: string, remarks: string[]}>}
   */
  async encoded() {
    const { format, exif, icc } = this.metadata;
    const type = format === "JPEG" ? "image/jpeg" : "image/png";
    const plain = await this.after.canvas.convertToBlob({ type, quality: JPEG_QUALITY });
    const remarks = [];
    const lost = exif && format === "JPEG" && !fitsJpeg(exif);
    if (lost) remarks.push("EXIF was left out: it is too large.");
    const kept = exif && !lost ? await this.uprightBlock(exif) : null;
    const bytes = writeMetadata(new Uint8Array(await plain.arrayBuffer()), { exif: kept, icc });
    const stem = this.name.replace(/\.[^.]*$/, "");
    const name = `${stem}_deblurred.${type === "image/jpeg" ? "jpg" : "png"}`;
    return { blob: new Blob([bytes], { type }), name, remarks };
  }

  /** Not every browser turns a PNG by its EXIF: where it did not, viewers of the result must. @param {Uint8Array} exif */
  async uprightBlock(exif) {
    if (this.metadata.format !== "PNG" || orientationOf(exif) === 1) return uprightExif(exif);
    return (await turnsPng()) ? uprightExif(exif) : exif;
  }

  close() {
    this.bitmap.close();
    this.rows.canvas.width = this.after.canvas.width = 1; // frees the memory at once
  }
}

/** @param {number} width @param {number} height @param {string} name */
function context(width, height, name) {
  const made = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!made) throw new Problem(`${name}: this browser cannot draw ${width} x ${height} pixels; take a smaller picture.`);
  return made;
}

/** Whether this browser turns PNG pictures by their EXIF: a picture of 2x1 pixels, marked as lying on its side. */
async function turnsPng() {
  const { pngChunk } = await import("../core/containers.js");
  const plain = new OffscreenCanvas(2, 1);
  plain.getContext("2d");
  const exif = Uint8Array.of(0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0);
  const bytes = new Uint8Array(await (await plain.convertToBlob({ type: "image/png" })).arrayBuffer());
  const marked = new Blob([bytes.slice(0, 33), pngChunk("eXIf", exif), bytes.slice(33)], { type: "image/png" });
  const turned = await createImageBitmap(marked);
  return turned.height === 2;
}
