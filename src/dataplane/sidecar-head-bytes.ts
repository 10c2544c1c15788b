/** From so many bytes on a head is run only when its end is there, so that one that trickles in costs no run a byte. */
const TRICKLE = 2048
const HEAD_END = Buffer.from('\r\n\r\n')

/** How many of the received bytes a sidecar is given to read a head of at most `most` from; -1 where it need not run yet. */
export function headBytes(received: Buffer, start: number, end: number, most: number): number {
  const length = Math.min(end - start, most)
  if (length <= TRICKLE) return length
  const at = received.indexOf(HEAD_END, start)
  if (at >= 0 && at + HEAD_END.length - start <= length) return at + HEAD_END.length - start
  return length === most ? length : -1
}
