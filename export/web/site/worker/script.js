/** Loads a runtime's script when it is needed. */

import { Problem } from "../core/problems.js";

/**
 * @param {URL} url of this site
 * @returns {Promise<any>} what it exports
 * @throws {Problem} it is not there
 */
export async function importScript(url) {
  try {
    return await import(url.href);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const name = url.pathname.split("/").pop();
    throw new Problem(
      `the runtime's ${name} is missing or damaged (${why}); write the site again with deblur-export --web.`,
    );
  }
}
