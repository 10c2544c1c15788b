/** What a reader says after some bytes: `more` are needed, the reply is `complete` and right, or what is wrong. */
export type ReplyState = 'more' | 'complete' | (string & {})

/** Reads replies of one connection, one after the other, and compares each with what it must be: 200 and that body. */
export class ReplyReader {
  readonly #body: Buffer
  #head = ''
  #received = 0

  constructor(body: Buffer) {
    this.#body = body
  }

  read(chunk: Buffer): ReplyState {
    let at = 0
    if (!this.#head.endsWith('\r\n\r\n')) {
      const before = this.#head.length
      this.#head += chunk.toString('latin1')
      const end = this.#head.indexOf('\r\n\r\n')
      if (end === -1) return this.#head.length > 16_384 ? 'head too long' : 'more'
      this.#head = this.#head.slice(0, end + 4)
      at = end + 4 - before
      const problem = this.#headProblem()
      if (problem !== undefined) return problem
    }
    const left = this.#body.length - this.#received
    const part = chunk.length - at
    if (part > left) return 'body too long'
    if (chunk.compare(this.#body, this.#received, this.#received + part, at) !== 0) return 'wrong body'
    this.#received += part
    if (part < left) return 'more'
    this.#head = ''
    this.#received = 0
    return 'complete'
  }

  #headProblem(): string | undefined {
    const status = this.#head.slice(9, 12)
    if (status !== '200') return `status ${status}`
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(this.#head)?.[1]
    return Number(length) === this.#body.length ? undefined : `content-length ${length}`
  }
}
