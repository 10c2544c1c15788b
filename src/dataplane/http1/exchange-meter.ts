import type { ExchangeFigures } from '../log-line.ts'

/** What an exchange measures of itself while it lasts. Times are of performance.now(), 0 until they are known. */
export class ExchangeMeter {
  readonly startedAt: number
  /** When the request's last byte had come, and when it went to the instance. */
  receivedAt = 0
  sentAt = 0
  /** Until when the request is, or was last, held back before it asked for an instance. */
  heldUntil = 0
  /** Bytes of a tunnel, from the client and to it. */
  tunnelReceived = 0
  tunnelSent = 0
  /** RESPONSE_FLAG_* bits. */
  flags = 0

  constructor(startedAt: number) {
    this.startedAt = startedAt
  }

  /** The figures at its end; `answeredAt` is when the instance's head came, null where the mesh itself answered. */
  figures(requestBytes: number, responseBytes: number, answeredAt: number | null): ExchangeFigures {
    const { startedAt, receivedAt, sentAt } = this
    const figures: ExchangeFigures = {
      bytesReceived: requestBytes + this.tunnelReceived,
      bytesSent: responseBytes + this.tunnelSent,
      durationMs: performance.now() - startedAt,
      requestMs: receivedAt === 0 ? null : receivedAt - startedAt,
      responseMs: answeredAt === null ? null : answeredAt - startedAt,
      responseFlags: this.flags,
    }
    if (answeredAt !== null) figures.upstreamMs = sentAt === 0 ? 0 : answeredAt - sentAt
    return figures
  }
}
