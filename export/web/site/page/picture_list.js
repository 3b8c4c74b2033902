/** The list of photos: what waits, what runs, what came of each. */

import { byId, offer } from "./ui.js";

/**
 * @typedef {object} Entry
 * @property {File} file
 * @property {"waiting" | "running" | "done" | "failed" | "cancelled"} state
 * @property {any} result of the worker, once done
 * @property {string} timing
 * @property {HTMLElement} item
 */

export class PictureList {
  /** @param {(entry: Entry) => void} show a finished photo */
  constructor(show) {
    /** @type {Entry[]} */
    this.entries = [];
    this.show = show;
  }

  /** @param {Iterable<File>} files */
  add(files) {
    for (const file of files) {
      const item = document.createElement("li");
      /** @type {Entry} */
      const entry = { file, state: "waiting", result: null, timing: "", item };
      this.entries.push(entry);
      byId("pictures").append(item);
      this.#draw(entry, "waiting");
    }
    byId("list").hidden = !this.entries.length;
  }

  next() {
    return this.entries.find(({ state }) => state === "waiting");
  }

  /** @param {Entry} entry */
  started(entry) {
    entry.state = "running";
    this.#draw(entry, "working");
  }

  /** @param {Entry} entry @param {any} result @param {string} timing */
  finished(entry, result, timing) {
    Object.assign(entry, { state: "done", result, timing });
    this.#draw(entry, timing);
    this.show(entry);
  }

  /** @param {Entry} entry @param {string} why */
  failed(entry, why) {
    entry.state = "failed";
    this.#draw(entry, why);
  }

  /** @param {Entry} entry */
  cancelled(entry) {
    entry.state = "cancelled";
    this.#draw(entry, "cancelled");
  }

  cancelWaiting() {
    for (const entry of this.entries) if (entry.state === "waiting") this.cancelled(entry);
  }

  /** @param {Entry} entry @param {string} note */
  #draw(entry, note) {
    const line = document.createElement("div");
    const name = made("span", "name", entry.file.name);
    line.append(name);
    if (entry.state === "done") {
      const look = made("button", "", "Show");
      look.setAttribute("aria-label", `Show ${entry.file.name}`);
      look.addEventListener("click", () => this.show(entry));
      const link = made("a", "button", "Download");
      link.setAttribute("aria-label", `Download ${entry.result.name}`);
      offer(link, entry.result.blob, entry.result.name);
      line.append(look, link);
    }
    if (entry.state === "failed" || entry.state === "cancelled") {
      const again = made("button", "", "Again");
      again.setAttribute("aria-label", `Deblur ${entry.file.name} again`);
      again.addEventListener("click", () => {
        entry.state = "waiting";
        this.#draw(entry, "waiting");
        document.dispatchEvent(new CustomEvent("again"));
      });
      line.append(again);
    }
    const below = made("span", entry.state === "failed" ? "problem" : "note", note);
    entry.item.dataset.state = entry.state;
    entry.item.replaceChildren(line, below);
  }
}

/** @param {string} tag @param {string} kind @param {string} text */
function made(tag, kind, text) {
  const element = document.createElement(tag);
  element.className = kind;
  element.textContent = text;
  if (element instanceof HTMLButtonElement) element.type = "button";
  return element;
}
