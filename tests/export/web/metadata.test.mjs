/** EXIF blocks and containers, made here byte by byte. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";

import { crc32, fitsJpeg, pngChunk, readMetadata, writeMetadata } from "../../../export/web/site/core/containers.js";
import { orientationOf, uprightExif } from "../../../export/web/site/core/exif.js";

/** A main directory (orientation, pointer) with a thumbnail's after it, and an inner one (width, height). */
function exifBlock({ orientation = 6, width = 40, height = 30, little = false }) {
  const block = new Uint8Array(8 + 2 + 24 + 4 + 2 + 24 + 4 + 5);
  const view = new DataView(block.buffer);
  block.set(little ? [0x49, 0x49, 42, 0] : [0x4d, 0x4d, 0, 42]);
  view.setUint32(4, 8, little);
  view.setUint16(8, 2, little);
  entry(10, 0x0112, 3, orientation);
  entry(22, 0x8769, 4, 38);
  view.setUint32(34, 64, little); // the thumbnail's directory
  view.setUint16(38, 2, little);
  entry(40, 0xa002, 4, width);
  entry(52, 0xa003, 4, height);
  block.set([1, 2, 3, 4, 5], 68); // a maker's own bytes
  return block;

  function entry(at, tag, kind, value) {
    view.setUint16(at, tag, little);
    view.setUint16(at + 2, kind, little);
    view.setUint32(at + 4, 1, little);
    if (kind === 3) view.setUint16(at + 8, value, little);
    else view.setUint32(at + 8, value, little);
  }
}

function segment(marker, body) {
  return [0xff, marker, (body.length + 2) >> 8, (body.length + 2) & 255, ...body];
}

const bytesOf = (text) => [...text].map((letter) => letter.charCodeAt(0));
const SCAN = [0xff, 0xda, 0, 2, 1, 2, 3, 0xff, 0xd9];
const JFIF = segment(0xe0, bytesOf("JFIF\0rest"));
const PROFILE = segment(0xe2, [...bytesOf("ICC_PROFILE\0"), 1, 1, 9, 9]);
const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const HEADER = pngChunk("IHDR", Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0));
const PIXELS = pngChunk("IDAT", new Uint8Array(deflateSync(Uint8Array.of(0, 1, 2, 3))));
const END = pngChunk("IEND", new Uint8Array(0));

test("orientation in both byte orders", () => {
  for (const little of [false, true])
    for (const orientation of [1, 3, 6, 8]) assert.equal(orientationOf(exifBlock({ orientation, little })), orientation);
  for (const orientation of [0, 9]) assert.equal(orientationOf(exifBlock({ orientation })), 1);
  assert.equal(orientationOf(null), 1);
  assert.equal(orientationOf(Uint8Array.of(1, 2, 3)), 1);
  assert.equal(orientationOf(exifBlock({}).subarray(0, 20)), 1); // cut
});

test("an upright block swaps sides, drops the thumbnail and keeps the rest", () => {
  for (const little of [false, true]) {
    const block = exifBlock({ orientation: 6, width: 40, height: 30, little });
    const upright = uprightExif(block);
    assert.deepEqual(upright, exifBlockWithoutThumbnail({ orientation: 1, width: 30, height: 40, little }));
    assert.equal(orientationOf(block), 6); // the one given is not changed
    const straight = uprightExif(exifBlock({ orientation: 3, little }));
    assert.deepEqual(straight, exifBlockWithoutThumbnail({ orientation: 1, little }));
  }
  const damaged = Uint8Array.of(1, 2, 3);
  assert.deepEqual(uprightExif(damaged), damaged);
});

function exifBlockWithoutThumbnail(fields) {
  const block = exifBlock(fields);
  block.fill(0, 34, 38);
  return block;
}

test("EXIF and profile leave a JPEG and enter another", () => {
  const exif = exifBlock({});
  const full = Uint8Array.from([0xff, 0xd8, ...segment(0xe1, [...bytesOf("Exif\0\0"), ...exif]), ...JFIF, ...PROFILE, ...SCAN]);
  const found = readMetadata(full);
  assert.deepEqual(found, { format: "JPEG", exif, icc: [Uint8Array.from(PROFILE)] });
  const other = segment(0xe2, [...bytesOf("ICC_PROFILE\0"), 1, 1, 7]);
  const bare = Uint8Array.from([0xff, 0xd8, ...JFIF, ...other, ...SCAN]);
  const joined = writeMetadata(bare, found);
  assert.deepEqual(readMetadata(joined), found); // the other profile is gone
  assert.deepEqual(joined, Uint8Array.from([...full.slice(0, full.length - JFIF.length - PROFILE.length - SCAN.length), ...PROFILE, ...JFIF, ...SCAN]));
  assert.deepEqual(writeMetadata(bare, { exif: null, icc: [] }), bare);
});

test("what a JPEG segment cannot hold is told", () => {
  assert.ok(fitsJpeg(new Uint8Array(65527)));
  assert.ok(!fitsJpeg(new Uint8Array(65528)));
});

test("EXIF and colour chunks leave a PNG and enter another", () => {
  const exif = exifBlock({});
  const gamma = pngChunk("gAMA", Uint8Array.of(0, 0, 0xb1, 0x8f));
  const full = Uint8Array.from([...SIGNATURE, ...HEADER, ...gamma, ...pngChunk("eXIf", exif), ...PIXELS, ...END]);
  const found = readMetadata(full);
  assert.deepEqual(found, { format: "PNG", exif, icc: [gamma] });
  const srgb = pngChunk("sRGB", Uint8Array.of(0));
  const bare = Uint8Array.from([...SIGNATURE, ...HEADER, ...srgb, ...PIXELS, ...END]);
  assert.deepEqual(writeMetadata(bare, found), full);
  assert.deepEqual(writeMetadata(bare, { exif: null, icc: [] }), bare);
  assert.equal(crc32(Uint8Array.from(bytesOf("IEND"))), 0xae426082); // every PNG file ends with it
});

test("EXIF leaves a WebP, with or without JPEG's prefix", () => {
  const exif = exifBlock({}); // of odd length: chunks are padded
  assert.equal(exif.length % 2, 1);
  for (const prefix of [[], bytesOf("Exif\0\0")]) {
    const body = [...prefix, ...exif];
    const webp = [...bytesOf("RIFF\0\0\0\0WEBPVP8 "), 1, 0, 0, 0, 7, 0, ...bytesOf("EXIF"), body.length, 0, 0, 0, ...body, 0];
    assert.deepEqual(readMetadata(Uint8Array.from(webp)), { format: "WEBP", exif, icc: [] });
  }
});

test("anything else has no metadata", () => {
  for (const bytes of [[], [0xff], bytesOf("hello, world")])
    assert.deepEqual(readMetadata(Uint8Array.from(bytes)), { format: "other", exif: null, icc: [] });
});
