/** Small pieces of the page that several modules write to. */

/** @param {string} id @returns {HTMLElement} */
export function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** A sentence for the status line, read out by screen readers; ends the progress bar. @param {string} sentence */
export function showStatus(sentence) {
  const line = byId("status");
  line.setAttribute("aria-live", "polite");
  line.textContent = sentence.trim();
  byId("progress").hidden = true;
}

/** Not read out: it changes many times a second. @param {string} sentence @param {number} done @param {number} all 0: unknown */
export function showProgress(sentence, done, all) {
  const line = byId("status");
  line.setAttribute("aria-live", "off");
  line.textContent = sentence;
  const bar = /** @type {HTMLProgressElement} */ (byId("progress"));
  bar.hidden = false;
  if (all) bar.value = Math.min(1, done / all);
  else bar.removeAttribute("value");
}

/** @param {string} sentence empty: none */
export function showProblem(sentence) {
  byId("problem").textContent = sentence;
  byId("problem").hidden = !sentence;
}

/** Let a link download a file; what it offered before is freed. @param {HTMLElement} link @param {Blob} blob @param {string} name */
export function offer(link, blob, name) {
  const anchor = /** @type {HTMLAnchorElement} */ (link);
  if (anchor.href) URL.revokeObjectURL(anchor.href);
  anchor.href = URL.createObjectURL(blob);
  anchor.download = name;
}
