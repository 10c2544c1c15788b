/** How long the start after the `failures`th failure in a row waits, in milliseconds: 100, 200, 400 ... 10,000. */
export function backOffMs(failures: number): number {
  return Math.min(FIRST_MS * 2 ** Math.max(0, failures - 1), LONGEST_MS)
}

/** An instance that was ready for this long and then crashes does not count as one failure more. */
export const SETTLED_MS = 10_000

const FIRST_MS = 100
const LONGEST_MS = 10_000
