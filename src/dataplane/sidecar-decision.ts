// What engine and sidecars say to each other, as values.

import type { CelValue } from '../policy/evaluate-cel.ts'

/** What the engine knows of a connection. Addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d. */
export interface ConnectionFacts {
  direction: number
  /** The peer's principal, '' where it is not authenticated. */
  peer: string
  /** SHA-256 of the peer's certificate in hexadecimal, where it proved its identity by one. */
  peerHash?: string
  sourceIp: Uint8Array
  sourcePort: number
  localIp: Uint8Array
  localPort: number
  tls: boolean
  /** The peer, outside this engine, has proved nothing. */
  plaintext?: boolean
  /** Another node's engine wrote the head, and judged the client's side of the call. */
  forwarded?: boolean
}

/** What a phase asks of the engine before it can judge: NEED_* and a key in that kind's own form. The key is hostile. */
export interface Need {
  kind: number
  key: Buffer
}

/** An engine's answer to the need that was asked in its place. */
export interface Answer {
  need: Need
  bytes: Buffer
}

export type Failed = { kind: 'failed'; reason: string }

export type Opened =
  | { kind: 'incomplete' }
  | {
      kind: 'opened'
      host: string
      port: number
      /** The instance that the sender on another node chose, or ''. */
      instance: string
    }
  | { kind: 'denied'; denial: Denial }
  | Failed

export interface Denial {
  status: number
  /** REASON_* */
  reason: number
  text: string
  /** Extra field lines of the reply, each ending in CRLF, or "". */
  fields: string
  /** RESPONSE_FLAG_* bits. */
  responseFlags: number
  /** What a route that answers itself asks of the engine (layout/route-outcome.ts); empty: nothing. */
  route: Buffer
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
      /** What the chosen route asks of the engine (layout/route-outcome.ts); empty: nothing. */
      route: Buffer
      /** By what its instance is to be found (consistent hash); 0: by nothing. */
      hash: number
    }
  | { kind: 'denied'; denial: Denial }
  | Failed

/** One run of a request phase, which may have to be repeated. */
export type DecisionRun = Decision | { kind: 'needs'; needs: Need[] }

export type ResponseDecision =
  | { kind: 'incomplete' }
  /** Nothing goes out: the request is to be sent again. */
  | { kind: 'retried'; status: number }
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
      /** RESPONSE_FLAG_* bits that the sidecar sets. */
      responseFlags: number
      log: LogLine | null
      values: readonly CelValue[] | null
    }
  /** `denial`: the upstream's response is replaced, by a policy's word. */
  /** The instance's node has not reached it. */
  | { kind: 'undelivered' }
  | { kind: 'bad'; reason: number; denial?: { status: number; text: string; fields: string } }
  | Failed

/** One run of a response phase, which may have to be repeated. */
export type ResponseRun = ResponseDecision | { kind: 'needs'; needs: Need[] }

/** What a sidecar's response phase leaves for the record of its exchange. */
export interface Observed {
  log: LogLine | null
  /** What it was to find out (policy/observation-plan.ts); null: it is broken, or ran by a policy that asks nothing. */
  values: readonly CelValue[] | null
}

/** What a response phase is told of the attempt that it may have repeated. */
export interface AttemptFacts {
  /** From 1. */
  number: number
  /** The record at IN_RETRY_PTR (layout/retry.ts); its bytes are good until the next facts are asked for. */
  record: Buffer
}

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
