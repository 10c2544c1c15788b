/**
 * A clock in milliseconds since the epoch that never goes back and never stands still. It follows the monotonic clock; where the wall
 * clock runs ahead of that (the machine was suspended, in which the monotonic clock stands still) it goes along. So what it says is over,
 * is over for everybody else.
 */
export function steadyClock(
  monotonic: () => number = () => performance.now(),
  wall: () => number = () => Date.now(),
): () => number {
  let last = monotonic()
  let now = wall()
  let offset = 0
  return () => {
    const at = monotonic()
    now += Math.max(0, at - last)
    last = at
    const ahead = wall() - offset - now
    if (ahead > JUMP_MS) now += ahead
    // The wall clock was set back: from here on its progress counts, not what it says.
    else if (ahead < -JUMP_MS) offset += ahead
    return now
  }
}

/** Above what the two clocks differ by their resolution. */
const JUMP_MS = 5
