// What engine and sidecars say to each other, as values.

/** What the engine knows of a connection. Addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d. */
export interface ConnectionFacts {
  direction: number
  /** The peer's principal, '' where it is not authenticated. */
  peer: string
  sourceIp: Uint8Array
  sourcePort: number
  localIp: Uint8Array
  localPort: number
  tls: boolean
}

export type Failed = { kind: 'failed'; reason: string }

export type Opened =
  | { kind: 'incomplete' }
  | { kind: 'opened'; host: string; port: number }
  | { kind: 'denied'; denial: Denial }
  | Failed

export interface Denial {
  status: number
  /** REASON_* */
  reason: number
  text: string
  context: Buffer
  verdicts: Buffer
  requestId: string
  /** 64 hexadecimal digits: trace id, span id, parent's span id; '' where no span is recorded. */
  trace: string
  headLength: number
  flags: number
  /** How the refused request's own body is framed. */
  body: number
  bodyLength: number
}

export type Decision =
  | {
      kind: 'forward'
      /** The exact bytes to write upstream. */
      head: Buffer
      headLength: number
      flags: number
      body: number
      sendBody: number
      bodyLength: number
      context: Buffer
      verdicts: Buffer
      requestId: string
      trace: string
    }
  | { kind: 'denied'; denial: Denial }
  | Failed

export type ResponseDecision =
  | { kind: 'incomplete' }
  | { kind: 'interim'; head: Buffer; headLength: number; flags: number }
  | {
      kind: 'head'
      status: number
      head: Buffer
      headLength: number
      flags: number
      body: number
      sendBody: number
      bodyLength: number
      log: LogLine | null
    }
  | { kind: 'bad'; reason: number }
  | Failed

/** An access-log line without its newline; `holes` are pairs of offset in the text and HOLE_* kind. */
export interface LogLine {
  text: Buffer
  holes: Uint32Array
}

/** What is known of a request that was opened and is answered without a decision. */
export interface Abandoned {
  context: Buffer
  headLength: number
  flags: number
  body: number
  bodyLength: number
}
