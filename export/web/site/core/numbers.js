/** Statistics of times, and how numbers are written. */

/**
 * Median, 5th and 95th percentile with linear interpolation, as `numpy.percentile`.
 *
 * @param {number[]} times_ms at least one
 */
export function spread(times_ms) {
  const sorted = [...times_ms].sort((a, b) => a - b);
  const at = (/** @type {number} */ share) => {
    const place = share * (sorted.length - 1);
    const below = Math.floor(place);
    const above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
  };
  return { median: at(0.5), p5: at(0.05), p95: at(0.95) };
}

/** `0.84 s`, `12 s`, `85 ms`. @param {number} ms */
export function duration(ms) {
  if (ms < 100) return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
  return ms < 10_000 ? `${(ms / 1000).toFixed(2)} s` : `${Math.round(ms / 1000)} s`;
}

/** `4.5 MB`. @param {number} bytes */
export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
