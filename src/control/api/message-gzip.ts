import { gzipSync } from 'node:zlib'
import type { Compression } from '@connectrpc/connect/protocol'
import { compressionGzip } from '@connectrpc/connect-node'

/** Longer messages are compressed off the event loop. In bytes. */
const SHORT_BYTES = 64 * 1024
/** A compressor's memory is a window of 4 KiB and as much again, not the usual 256 KiB: it is made anew for each message. */
const SHORT = { windowBits: 12, memLevel: 5, level: 1 } as const

/**
 * gzip for messages of which thousands a second are a few kilobytes long: what nodes are told. Those are compressed at once,
 * in a tenth of the time that a hand-over to another thread and a full-sized compressor take.
 */
export const messageGzip: Compression = {
  ...compressionGzip,
  async compress(bytes) {
    return bytes.length > SHORT_BYTES ? compressionGzip.compress(bytes) : gzipSync(bytes, SHORT)
  },
}
