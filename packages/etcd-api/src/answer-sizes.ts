import type { RangeQuery } from "@k3s/datastore";

/** Of a place from which nothing was read yet. */
const UNKNOWN_BYTES = 256 << 10;
/** A key without its value, with what surrounds it. */
const KEY_BYTES = 128;
/** Part by which a smaller value counts: larger ones count at once. */
const FADING = 0.1;
const PLACES_MAX = 1000;
/** Keys of one kind of object begin with so many parts: `/registry/secrets/`. */
const PLACE = /^(?:\/[^/]*){0,2}/;
const PLACE_CHARS_MAX = 200;

/** Knows from earlier answers about how large the values of a part of the keys are. */
export class AnswerSizes {
  readonly #meanBytes = new Map<string, number>();

  /** About how many bytes an answer of so many keys takes. */
  estimate(query: RangeQuery, keys: number): number {
    return keys * (needsValues(query) ? (this.#meanBytes.get(placeOf(query)) ?? UNKNOWN_BYTES) : KEY_BYTES);
  }

  /** Learns from an answer. */
  note(query: RangeQuery, keys: number, bytes: number): void {
    if (keys === 0 || query.keysOnly || query.countOnly) return;
    const place = placeOf(query);
    const mean = bytes / keys;
    const known = this.#meanBytes.get(place) ?? mean;
    this.#meanBytes.delete(place);
    this.#meanBytes.set(place, Math.max(mean, known + (mean - known) * FADING));
    const [oldest] = this.#meanBytes.keys();
    if (this.#meanBytes.size > PLACES_MAX && oldest !== undefined) this.#meanBytes.delete(oldest);
  }
}

function needsValues({ keysOnly, sort }: RangeQuery): boolean {
  return !keysOnly || sort?.target === "value";
}

function placeOf({ key }: RangeQuery): string {
  return PLACE.exec(key.toString("latin1", 0, PLACE_CHARS_MAX))?.[0] ?? "";
}
