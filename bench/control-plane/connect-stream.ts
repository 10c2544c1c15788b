import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import { gunzipSync } from 'node:zlib'
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { FromNodeSchema, type ToNode, ToNodeSchema } from '../../src/control/proto/mayfly/v1/nodes_pb.js'

/** What a node says, defaults left out. */
export type Said = NonNullable<MessageInitShape<typeof FromNodeSchema>['what']>

export type Credential = { readonly certificate: string; readonly key: string; readonly roots: string }

export type StreamEvents = {
  /** `bytes` counts what was sent for the message: its envelope, compressed where the server did so. */
  told(message: ToNode, bytes: number): void
  ended(why: string): void
}

/** Connect's envelope: one byte of flags, four of length. */
const ENVELOPE = 5
const COMPRESSED = 1
const END = 2

/** A node's stream to the control plane in Connect's protocol: as a real node's, but cheap enough for hundreds in one process. */
export class ConnectStream {
  readonly #session: ClientHttp2Session
  readonly #stream: ClientHttp2Stream
  readonly #events: StreamEvents
  #rest: Buffer = Buffer.alloc(0)
  #closed = false

  constructor(server: string, { certificate, key, roots }: Credential, events: StreamEvents) {
    this.#events = events
    this.#session = connect(server, {
      cert: certificate,
      key,
      ca: roots,
      minVersion: 'TLSv1.3',
      checkServerIdentity: () => undefined,
    })
    this.#session.on('error', (error) => this.#end(error.message))
    this.#stream = this.#session.request({
      ':method': 'POST',
      ':path': '/mayfly.v1.NodeService/Attach',
      'content-type': 'application/connect+proto',
      'connect-protocol-version': '1',
      // As Connect's own client asks.
      'connect-accept-encoding': 'gzip,br',
    })
    this.#stream.on('response', (headers) => {
      if (headers[':status'] !== 200) this.#end(`status ${headers[':status']}`)
    })
    this.#stream.on('data', (chunk: Buffer) => this.#read(chunk))
    this.#stream.on('error', (error) => this.#end(error.message))
    this.#stream.on('close', () => this.#end('the stream is closed'))
  }

  /** Gives the bytes that are sent for it. */
  say(what: Said): number {
    const message = toBinary(FromNodeSchema, create(FromNodeSchema, { what }))
    const frame = Buffer.allocUnsafe(ENVELOPE + message.length)
    frame[0] = 0
    frame.writeUInt32BE(message.length, 1)
    frame.set(message, ENVELOPE)
    if (!this.#closed) this.#stream.write(frame)
    return frame.length
  }

  close(): void {
    this.#closed = true
    this.#session.destroy()
  }

  #read(chunk: Buffer): void {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    while (data.length >= ENVELOPE) {
      const length = ENVELOPE + data.readUInt32BE(1)
      if (data.length < length) break
      this.#message(data[0]!, data.subarray(ENVELOPE, length))
      data = data.subarray(length)
    }
    this.#rest = data
  }

  #message(flags: number, content: Buffer): void {
    const plain = flags & COMPRESSED ? gunzipSync(content) : content
    if (flags & END) return this.#end(plain.toString())
    this.#events.told(fromBinary(ToNodeSchema, plain), ENVELOPE + content.length)
  }

  #end(why: string): void {
    if (this.#closed) return
    this.close()
    this.#events.ended(why)
  }
}
