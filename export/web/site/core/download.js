/** Fetches the site's own files, with progress, and checks them. */

import { Problem } from "./problems.js";

/**
 * @param {URL} url of this site
 * @param {string} what for messages: "the model"
 * @param {(what: string, done: number, all: number) => void} [progress] in bytes; `all` 0 if unknown
 * @param {number} [bytes] its size, where it is known better than by the server
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 * @throws {Problem} it is not there, or the connection failed
 */
export async function download(url, what, progress, bytes = 0) {
  const name = url.pathname.split("/").pop();
  let response;
  try {
    response = await fetch(url);
  } catch {
    throw new Problem(`${what} (${name}) could not be loaded: the server does not answer; reload the page.`);
  }
  if (!response.ok || !response.body) {
    throw new Problem(
      `${what} is missing: the server has no ${name} (HTTP ${response.status}); write the site again with deblur-export --web.`,
    );
  }
  const all = bytes || Number(response.headers.get("content-length") ?? 0);
  const parts = [];
  let done = 0;
  const reader = response.body.getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      parts.push(part.value);
      done += part.value.length;
      progress?.(what, done, all);
    }
  } catch {
    throw new Problem(`${what} (${name}) broke off while loading; reload the page.`);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/**
 * The contents of a gzip file. Servers may have unpacked it on the way: such bytes are returned as they are.
 *
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
export async function gunzipped(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * In lower-case hexadecimals; null where the browser does not compute it (pages without https).
 *
 * @param {Uint8Array<ArrayBuffer>} bytes
 */
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
