/** What can go wrong, in one sentence that says what to do. */

/** An error whose message is for the visitor, shown as it stands. */
export class Problem extends Error {
  name = "Problem";
}

/** The visitor stopped the work. */
export class Cancelled extends Error {
  name = "Cancelled";
  constructor() {
    super("cancelled");
  }
}

/**
 * The sentence for any error; those that nobody foresaw keep their own text.
 *
 * @param {unknown} error
 * @param {string} doing what was being done, such as "deblurring photo.jpg"
 */
export function sentenceOf(error, doing) {
  if (error instanceof Problem) return error.message;
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof RangeError || /out of memory|allocation failed|bad_alloc/i.test(text)) {
    return `There is not enough memory for ${doing}; close other tabs or take a smaller picture.`;
  }
  return `${doing} failed: ${text}`;
}
