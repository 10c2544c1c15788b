import { connect, type Socket } from 'node:net'

/** A client that sends exactly the bytes it is given and gives back exactly those that it received. */
export class RawClient {
  readonly socket: Socket
  #received: Buffer = Buffer.alloc(0)
  #closed = false
  #changed: (() => void)[] = []

  static async connect(port: number, host = '127.0.0.1'): Promise<RawClient> {
    const socket = connect({ port, host, allowHalfOpen: true, noDelay: true })
    const client = new RawClient(socket)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return client
  }

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (bytes: Buffer) => {
      this.#received = Buffer.concat([this.#received, bytes])
      this.#notify()
    })
    for (const event of ['end', 'close', 'error']) {
      socket.on(event, () => {
        this.#closed = true
        this.#notify()
      })
    }
  }

  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** All that was received, as latin1, once it matches `pattern` (or the connection ended, where the pattern is left out). */
  async receive(pattern?: RegExp): Promise<string> {
    for (;;) {
      const text = this.#received.toString('latin1')
      if (pattern?.test(text)) return text
      if (this.#closed) {
        if (!pattern) return text
        throw new Error(`the connection ended with ${JSON.stringify(text)}, which is not ${pattern}`)
      }
      await new Promise<void>((resolve) => this.#changed.push(resolve))
    }
  }

  /** Forgets what was received so far. */
  clear(): void {
    this.#received = Buffer.alloc(0)
  }

  close(): void {
    this.socket.destroy()
  }

  #notify(): void {
    for (const resolve of this.#changed.splice(0)) resolve()
  }
}
