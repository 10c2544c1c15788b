import { createSecureContext, type SecureContext } from 'node:tls'
import type { IdentitySlice, TrustSlice } from './node-messages.ts'
import type { Trust } from './tls-peer.ts'

/** A wait for control's answer is given up after this time, in milliseconds. */
const WAIT_MS = 5_000
/** Connections that may wait for identities at once; more are refused. */
const MOST_WAITING = 4_096
/** TLS contexts kept, each about 45 KiB; another one is made anew in 0.2 ms. */
const MOST_CONTEXTS = 256

/** An identity that this node may use, and what TLS makes of it. */
export interface Identity {
  readonly principal: string
  readonly epoch: number
  readonly notAfter: number
  readonly context: SecureContext
}

type Waiter = (identity: Identity | null) => void

/**
 * The certificates of the workloads for which this engine speaks. Control gives them when they are first needed and anew
 * before they expire; whose certificates of others count is told with them.
 */
export class NodeIdentities {
  readonly #ask: (principal: string) => void
  readonly #slices = new Map<string, IdentitySlice>()
  /** The most recently used last. */
  readonly #contexts = new Map<string, Identity>()
  readonly #waiting = new Map<string, Set<Waiter>>()
  #waiters = 0
  #anchors: string[] = []
  #trust: Trust = { domains: new Set(), epochs: new Set() }
  #epoch = 0

  constructor(ask: (principal: string) => void) {
    this.#ask = ask
  }

  get trust(): Trust {
    return this.#trust
  }

  /** The epoch in which certificates are issued now. */
  get epoch(): number {
    return this.#epoch
  }

  setTrust({ domains, anchors }: TrustSlice): void {
    this.#anchors = anchors.map(({ certificate }) => certificate)
    this.#trust = { domains: new Set(domains), epochs: new Set(anchors.map(({ epoch }) => epoch)) }
    this.#epoch = anchors.at(-1)?.epoch ?? 0
    this.#contexts.clear() // each holds the anchors
  }

  update(upsert: readonly IdentitySlice[], remove: readonly string[]): void {
    for (const principal of remove) {
      this.#slices.delete(principal)
      this.#contexts.delete(principal)
      this.#tell(principal, null)
    }
    for (const slice of upsert) {
      this.#slices.set(slice.principal, slice)
      this.#contexts.delete(slice.principal)
      if (this.#waiting.has(slice.principal)) this.#tell(slice.principal, this.get(slice.principal))
    }
  }

  /** The identity, where it is here and valid. */
  get(principal: string): Identity | null {
    const known = this.#contexts.get(principal)
    if (known) {
      this.#contexts.delete(principal)
      if (known.notAfter <= Date.now()) return null
      this.#contexts.set(principal, known)
      return known
    }
    const slice = this.#slices.get(principal)
    if (!slice || slice.notAfter <= Date.now() || !this.#trust.epochs.has(slice.epoch)) return null
    return this.#keep(slice)
  }

  /** The identity, here already or asked for; null where control does not give it in time. */
  obtain(principal: string): Identity | Promise<Identity | null> {
    const known = this.get(principal)
    if (known) return known
    if (this.#waiters >= MOST_WAITING) return Promise.resolve(null)
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(principal) ?? new Set()
      const settle: Waiter = (identity) => {
        clearTimeout(timer)
        waiting.delete(settle)
        this.#waiters--
        if (waiting.size === 0) this.#waiting.delete(principal)
        resolve(identity)
      }
      const timer = setTimeout(settle, WAIT_MS, null)
      this.#waiters++
      waiting.add(settle)
      this.#waiting.set(principal, waiting)
      if (waiting.size === 1) this.#ask(principal)
    })
  }

  /** What is held, for people. */
  held(): { principal: string; epoch: number; notAfter: number }[] {
    return [...this.#slices.values()].map(({ principal, epoch, notAfter }) => ({
      principal,
      epoch,
      notAfter,
    }))
  }

  #tell(principal: string, identity: Identity | null): void {
    for (const waiter of [...(this.#waiting.get(principal) ?? [])]) waiter(identity)
  }

  #keep(slice: IdentitySlice): Identity {
    const { principal, epoch, notAfter, chain, key } = slice
    const context = createSecureContext({
      cert: chain,
      key,
      ca: this.#anchors,
      // An epoch's intermediate is trusted, the root above it is not: so that an epoch can end.
      allowPartialTrustChain: true,
      minVersion: 'TLSv1.3',
    })
    const identity = { principal, epoch, notAfter, context }
    this.#contexts.set(principal, identity)
    const [oldest] = this.#contexts.keys()
    if (this.#contexts.size > MOST_CONTEXTS) this.#contexts.delete(oldest!)
    return identity
  }
}
