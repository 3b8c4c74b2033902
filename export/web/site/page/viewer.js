/** Before and after, with a divider. */

import { byId, offer } from "./ui.js";

/** @typedef {import("./picture_list.js").Entry} Entry */

/**
 * Both sides are files as they would be opened elsewhere, so that colour profiles count for both alike.
 *
 * @param {Entry} entry that is done
 */
export async function showPicture({ file, result, timing }) {
  byId("viewer").hidden = false;
  byId("shown").textContent = result.name;
  byId("timing").textContent = timing;
  offer(byId("download"), result.blob, result.name);
  await Promise.all([show("before", file), show("after", result.blob)]);
  zoom();
}

/** @param {string} id @param {Blob} blob */
async function show(id, blob) {
  const picture = /** @type {HTMLImageElement} */ (byId(id));
  if (picture.src) URL.revokeObjectURL(picture.src);
  picture.src = URL.createObjectURL(blob);
  await picture.decode().catch(() => undefined); // replaced by another before it was decoded
}

function zoom() {
  const { value } = /** @type {HTMLSelectElement} */ (byId("zoom"));
  byId("stage").className = value === "fit" ? "fit" : value === "1" ? "" : "enlarged";
  for (const id of ["before", "after"]) {
    const picture = /** @type {HTMLImageElement} */ (byId(id));
    // 1:1 is one pixel of the picture on one pixel of the screen.
    const width = (picture.naturalWidth * Number(value)) / devicePixelRatio;
    picture.style.width = value === "fit" ? "" : `${width}px`;
  }
}

byId("zoom").addEventListener("change", zoom);
