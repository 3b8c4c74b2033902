/**
 * Positions and blending weights of tiles: `runtimes/pictures/tile_plan.py`, protocol `edge`, which says why.
 * Sizes are `[height, width]` in pixels.
 */

const DEFAULT_OVERLAP_PX = 128;
const WHOLE_UP_TO_PIXELS = 2 * 1024 * 1024;
const AUTO_TILE_PX = 1024;
const RAMP_PX = 32;
const RAMP_STEPS = 1024;

/**
 * @typedef {object} TilePlan
 * @property {[number, number]} padded size after reflecting right and bottom
 * @property {[number, number]} tile size of every tile
 * @property {number[]} rows top of each row of tiles, rising
 * @property {number[]} columns the same for left edges
 */

/**
 * Decide padding and tiles.
 *
 * @param {[number, number]} picture
 * @param {{size: [number, number] | null, multiple: number, smallest?: number | null}} model its fixed size
 *   (null: any multiples), the multiple of its sides, and its smallest side
 * @returns {TilePlan}
 */
export function planTiles(picture, { size, multiple, smallest }) {
  const least = smallest ?? multiple;
  const needed = picture.map((side) => Math.max(roundUp(side, multiple), least));
  const nominal = size ?? automaticTile(needed);
  const axes = needed.map((side, axis) => {
    const padded = Math.max(side, nominal[axis]);
    return { padded, ...planAxis(padded, nominal[axis], multiple, size === null) };
  });
  return {
    padded: [axes[0].padded, axes[1].padded],
    tile: [axes[0].tile, axes[1].tile],
    rows: axes[0].origins,
    columns: axes[1].origins,
  };
}

/** @param {number[]} needed */
function automaticTile(needed) {
  if (needed[0] * needed[1] <= WHOLE_UP_TO_PIXELS) return needed;
  return needed.map((side) => Math.min(AUTO_TILE_PX, side));
}

/**
 * @param {number} side
 * @param {number} tile
 * @param {number} multiple
 * @param {boolean} mayShrink whether a smaller tile may give the same number of tiles
 */
function planAxis(side, tile, multiple, mayShrink) {
  if (side === tile) return { tile, origins: [0] };
  const overlap = Math.min(
    roundUp(DEFAULT_OVERLAP_PX, multiple),
    Math.floor(Math.floor(tile / 2) / multiple) * multiple,
  );
  const steps = Math.ceil((side - tile) / (tile - overlap));
  const used = mayShrink
    ? roundUp(Math.ceil((side + steps * overlap) / (steps + 1)), multiple)
    : tile;
  const units = (side - used) / multiple;
  const origins = Array.from({ length: steps + 1 }, (_, i) => Math.floor((i * units) / steps) * multiple);
  return { tile: used, origins };
}

/**
 * How much each tile counts along one axis.
 *
 * @param {number[]} origins first pixel of each tile, rising; neighbours touch or overlap
 * @param {number} tile side in pixels
 * @param {number | null} radius how far an output pixel sees; null: further than any overlap
 * @returns {Float32Array[]} `tile` weights in [0, 1] per origin; at each pixel those of all tiles sum to exactly 1
 */
export function axisWeights(origins, tile, radius) {
  const side = origins[origins.length - 1] + tile;
  // rises[i] is the weight of tile i and all after it, so tile i's own is rises[i] - rises[i + 1].
  const rises = [new Float64Array(side).fill(1)];
  for (let i = 0; i + 1 < origins.length; i++) {
    const [left, right] = [origins[i], origins[i + 1]];
    const overlap = left + tile - right;
    const margin =
      radius !== null && overlap >= 2 * radius ? radius : Math.max(0, Math.floor((overlap - RAMP_PX) / 2));
    const start = right + margin;
    const span = Math.max(left + tile - margin - start, 1e-6);
    rises.push(
      Float64Array.from({ length: side }, (_, x) => {
        const share = Math.min(1, Math.max(0, (x + 0.5 - start) / span));
        return roundHalfToEven(share * RAMP_STEPS) / RAMP_STEPS;
      }),
    );
  }
  rises.push(new Float64Array(side));
  return origins.map((origin, i) =>
    Float32Array.from({ length: tile }, (_, x) => rises[i][origin + x] - rises[i + 1][origin + x]),
  );
}

/**
 * Where a place beyond the last pixel is read: mirrored at the edge pixels, which are not repeated.
 *
 * @param {number} place 0 or more
 * @param {number} side
 */
export function reflect(place, side) {
  if (side === 1) return 0;
  const inside = place % (2 * (side - 1));
  return inside < side ? inside : 2 * (side - 1) - inside;
}

/** @param {number} value @param {number} multiple */
function roundUp(value, multiple) {
  return Math.ceil(value / multiple) * multiple;
}

/** As NumPy rounds. @param {number} value 0 or more */
function roundHalfToEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
}
