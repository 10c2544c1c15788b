/** Messages that wait to be taken by the one reader of a stream; beyond a bound the stream is given up. */
export class MessageQueue<Message> implements AsyncIterable<Message> {
  readonly #most: number
  #messages: Message[] = []
  #wake: (() => void) | null = null
  #ended: Error | true | null = null

  constructor(most: number) {
    this.#most = most
  }

  /** False where the stream has ended or was given up just now. */
  push(message: Message): boolean {
    if (this.#ended !== null) return false
    if (this.#messages.length >= this.#most) {
      this.#messages = []
      this.end(new Error(`${this.#most} messages wait to be sent: the other side does not take them`))
      return false
    }
    this.#messages.push(message)
    this.#wake?.()
    return true
  }

  /** What was pushed is still taken; then the reader sees the end, or the error. */
  end(error?: Error): void {
    this.#ended ??= error ?? true
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
    for (;;) {
      const taken = this.#messages
      this.#messages = []
      yield* taken
      if (this.#messages.length > 0) continue
      if (this.#ended instanceof Error) throw this.#ended
      if (this.#ended) return
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = null
    }
  }
}
