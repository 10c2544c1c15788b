import { createSocket } from 'node:dgram'
import { answerQuery } from './dns-message.ts'
import { INSIDE } from './packet-filter.ts'

/** Answers one instance's questions for names. */
export interface NameServer {
  close(): void
}

export interface NameServerCounters {
  questions: number
  /** Messages that are no questions. */
  ignored: number
}

/** Listens at an address that only the instance reaches. */
export function openNameServer(
  host: string,
  port: number,
  counters: NameServerCounters,
): Promise<{ ok: true; server: NameServer } | { ok: false; problem: string }> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    socket.on('error', (error) => resolve({ ok: false, problem: `the name server: ${error.message}` }))
    socket.on('message', (message, from) => {
      const answer = answerQuery(message, ADDRESS)
      if (answer === null) return void counters.ignored++
      counters.questions++
      socket.send(answer, from.port, from.address, () => {})
    })
    socket.bind({ address: host, port, exclusive: true }, () => {
      socket.unref()
      resolve({ ok: true, server: { close: () => socket.close() } })
    })
  })
}

const ADDRESS = Uint8Array.from(INSIDE.sidecar.split('.').map(Number))
