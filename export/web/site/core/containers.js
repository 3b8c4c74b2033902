/** JPEG, PNG and WebP files as containers: what kind it is, and its EXIF block and ICC profile, out and in. */

/**
 * @typedef {object} Metadata
 * @property {"JPEG" | "PNG" | "WEBP" | "other"} format
 * @property {Uint8Array | null} exif TIFF structure, without `Exif\0\0` before it
 * @property {Uint8Array[]} icc of JPEG: whole APP2 segments; of PNG: whole colour chunks; else empty
 */

const EXIF_PREFIX = ascii("Exif\0\0");
const ICC_PREFIX = ascii("ICC_PROFILE\0");
const PNG_SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const PNG_HEADER_BYTES = 33; // signature (8) and the IHDR chunk (4 + 4 + 13 + 4), which comes first
const PNG_COLOUR = ["iCCP", "sRGB", "gAMA", "cHRM", "cICP"];
const JPEG_SEGMENT_BYTES = 65533; // a segment counts its bytes in 16 bits, two of them for the count itself

/**
 * @param {Uint8Array} file
 * @returns {Metadata}
 */
export function readMetadata(file) {
  if (file[0] === 0xff && file[1] === 0xd8) return readJpeg(file);
  if (startsWith(file, 0, PNG_SIGNATURE)) return readPng(file);
  if (startsWith(file, 0, ascii("RIFF")) && startsWith(file, 8, ascii("WEBP"))) return readWebp(file);
  return { format: "other", exif: null, icc: [] };
}

/**
 * A picture that the browser encoded, with metadata put in and the browser's own colour tags taken out.
 *
 * @param {Uint8Array} file JPEG or PNG
 * @param {{exif: Uint8Array | null, icc: Uint8Array[]}} kept `icc` of the same format as `file`
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function writeMetadata(file, { exif, icc }) {
  if (file[0] === 0xff && file[1] === 0xd8) return writeJpeg(file, exif, icc);
  const chunks = [...pngChunks(file)].filter(({ name }) => !(icc.length && PNG_COLOUR.includes(name)));
  const head = file.subarray(0, PNG_HEADER_BYTES);
  const rest = chunks.filter(({ name }) => name !== "IHDR" && name !== "eXIf").map(({ whole }) => whole);
  return join([head, ...icc, ...(exif ? [pngChunk("eXIf", exif)] : []), ...rest]);
}

/** Whether `writeMetadata` can put a block of that size into a JPEG. @param {Uint8Array} exif */
export function fitsJpeg(exif) {
  return exif.length + EXIF_PREFIX.length <= JPEG_SEGMENT_BYTES;
}

/** @param {Uint8Array} file @returns {Metadata} */
function readJpeg(file) {
  /** @type {Metadata} */
  const found = { format: "JPEG", exif: null, icc: [] };
  for (const { marker, whole, body } of jpegSegments(file)) {
    if (marker === 0xe1 && startsWith(body, 0, EXIF_PREFIX)) found.exif ??= body.slice(EXIF_PREFIX.length);
    if (marker === 0xe2 && startsWith(body, 0, ICC_PREFIX)) found.icc.push(whole.slice());
  }
  return found;
}

/** @param {Uint8Array} file @param {Uint8Array | null} exif @param {Uint8Array[]} icc */
function writeJpeg(file, exif, icc) {
  const parts = [file.subarray(0, 2)];
  let end = 2;
  for (const { marker, whole, body } of jpegSegments(file)) {
    end += whole.length;
    const own = marker === 0xe1 && startsWith(body, 0, EXIF_PREFIX);
    const colour = marker === 0xe2 && startsWith(body, 0, ICC_PREFIX);
    if (!own && !(colour && icc.length)) parts.push(whole);
  }
  if (exif && fitsJpeg(exif)) parts.splice(1, 0, jpegSegment(0xe1, join([EXIF_PREFIX, exif])));
  const start = parts.length > 1 && parts[1][1] === 0xe1 ? 2 : 1;
  parts.splice(start, 0, ...icc);
  return join([...parts, file.subarray(end)]);
}

/** The segments between the start marker and the picture's first scan. @param {Uint8Array} file */
function* jpegSegments(file) {
  for (let at = 2; at + 4 <= file.length && file[at] === 0xff; ) {
    const marker = file[at + 1];
    const length = (file[at + 2] << 8) | file[at + 3];
    if (marker === 0xda || marker === 0xd9 || length < 2 || at + 2 + length > file.length) return;
    yield { marker, whole: file.subarray(at, at + 2 + length), body: file.subarray(at + 4, at + 2 + length) };
    at += 2 + length;
  }
}

/** @param {number} marker @param {Uint8Array} body */
function jpegSegment(marker, body) {
  const length = body.length + 2;
  return join([Uint8Array.of(0xff, marker, length >> 8, length & 255), body]);
}

/** @param {Uint8Array} file @returns {Metadata} */
function readPng(file) {
  /** @type {Metadata} */
  const found = { format: "PNG", exif: null, icc: [] };
  for (const { name, body, whole } of pngChunks(file)) {
    if (name === "eXIf") found.exif = body.slice();
    if (PNG_COLOUR.includes(name)) found.icc.push(whole.slice());
  }
  return found;
}

/** @param {Uint8Array} file @returns {Metadata} */
function readWebp(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let exif = null;
  for (let at = 12; at + 8 <= file.length; ) {
    const length = view.getUint32(at + 4, true);
    const body = file.slice(at + 8, at + 8 + length);
    if (startsWith(file, at, ascii("EXIF"))) {
      exif = startsWith(body, 0, EXIF_PREFIX) ? body.slice(EXIF_PREFIX.length) : body;
    }
    at += 8 + length + (length % 2);
  }
  return { format: "WEBP", exif, icc: [] };
}

/** @param {Uint8Array} file */
function* pngChunks(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = PNG_SIGNATURE.length; at + 12 <= file.length; ) {
    const length = view.getUint32(at);
    if (at + 12 + length > file.length) return;
    const name = String.fromCharCode(...file.subarray(at + 4, at + 8));
    const whole = file.subarray(at, at + 12 + length);
    yield { name, whole, body: file.subarray(at + 8, at + 8 + length) };
    at += 12 + length;
  }
}

/** @param {string} name @param {Uint8Array} body */
export function pngChunk(name, body) {
  const chunk = new Uint8Array(12 + body.length);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, body.length);
  chunk.set(ascii(name), 4);
  chunk.set(body, 8);
  view.setUint32(8 + body.length, crc32(chunk.subarray(4, 8 + body.length)));
  return chunk;
}

/** The checksum of PNG. @param {Uint8Array} bytes */
export function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** @param {Uint8Array} bytes @param {number} at @param {Uint8Array} wanted */
function startsWith(bytes, at, wanted) {
  return wanted.every((byte, i) => bytes[at + i] === byte);
}

/** @param {string} text */
function ascii(text) {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

/** @param {Uint8Array[]} parts */
function join(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
