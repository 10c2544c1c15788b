import { randomBytes } from 'node:crypto'
import type { ToEngine } from '../dataplane/engine-messages.ts'
import type { IdentitySlice, TrustSlice } from '../dataplane/node-messages.ts'
import type { CertificateAuthority, Svid, TrustAnchor } from './certificate-authority.ts'

/** How often certificates are looked at that may have to be made anew, at most, in milliseconds. */
const LONGEST_LOOK_MS = 60_000
/** A node's engines share a ticket key for this long, in milliseconds. */
const TICKET_KEY_MS = 3_600_000
/** RFC 5077 as OpenSSL has it: name, HMAC secret and AES key. */
const TICKET_KEY_BYTES = 48

export interface IdentityBookOptions {
  authority: CertificateAuthority
  trustDomains: readonly string[]
  /** Whether the engine's node may speak for the principal. */
  mayHold(engine: string, principal: string): boolean
  send(engine: string, message: ToEngine): void
  /** What a node's engines trust has changed. */
  trustChanged(): void
  /** Resolves when every engine has acted on all that was sent before. */
  settled(): Promise<unknown>
  notice(text: string): void
}

/**
 * Who holds which workload's certificate. A node's engine is given one when it first asks, and all who hold it are given
 * the next one at half its life.
 */
export class IdentityBook {
  readonly #options: IdentityBookOptions
  #trustDomains: readonly string[]
  readonly #svids = new Map<string, Promise<Svid>>()
  readonly #holders = new Map<string, Set<string>>()
  readonly #ticketKeys = new Map<string, Buffer>()
  #anchors: TrustAnchor[]
  #timers: NodeJS.Timeout[]
  #epochs: Promise<unknown> = Promise.resolve()

  constructor(options: IdentityBookOptions) {
    this.#options = options
    this.#trustDomains = options.trustDomains
    this.#anchors = [options.authority.anchor]
    this.#newTicketKeys()
    const lookMs = Math.min(LONGEST_LOOK_MS, options.authority.svidLifetimeMs / 20)
    this.#timers = [
      setInterval(() => void this.renew(), lookMs),
      setInterval(() => {
        this.#newTicketKeys()
        options.trustChanged()
      }, TICKET_KEY_MS),
    ]
  }

  /** What a node's engines are told of whom to trust. */
  trust(node: string): TrustSlice {
    return {
      domains: [...this.#trustDomains],
      anchors: this.#anchors.map(({ epoch, certificate }) => ({ epoch, certificate })),
      ticketKeys: this.#ticketKeysOf(node),
    }
  }

  setTrustDomains(domains: readonly string[]): void {
    this.#trustDomains = domains
  }

  /** An engine needs a workload's certificate: gives it, or says that there is none for it. */
  async wanted(engine: string, principal: string): Promise<void> {
    const { mayHold, send, notice } = this.#options
    if (!mayHold(engine, principal)) {
      return send(engine, { type: 'identities', upsert: [], remove: [principal] })
    }
    const holders = this.#holders.get(principal) ?? new Set()
    this.#holders.set(principal, holders.add(engine))
    try {
      const svid = await this.#svid(principal)
      send(engine, { type: 'identities', upsert: [sliceOf(svid)], remove: [] })
    } catch (error) {
      this.#svids.delete(principal)
      notice(`no certificate could be made for ${principal}: ${(error as Error).message}`)
    }
  }

  engineDied(engine: string): void {
    for (const holders of this.#holders.values()) holders.delete(engine)
  }

  /** Takes back the certificates of workloads that may not be held any more. */
  prune(): void {
    for (const [principal, holders] of this.#holders) {
      for (const engine of holders) {
        if (this.#options.mayHold(engine, principal)) continue
        holders.delete(engine)
        this.#options.send(engine, { type: 'identities', upsert: [], remove: [principal] })
      }
      if (holders.size > 0) continue
      this.#holders.delete(principal)
      this.#svids.delete(principal)
    }
  }

  /**
   * Makes every certificate issued so far count for nothing. First all engines learn to trust the new epoch as well, then
   * they are given certificates of it, and only then do they cease to trust the old one: so no request fails by it.
   */
  beginEpoch(): Promise<number> {
    const next = this.#epochs.then(() => this.#beginEpoch())
    this.#epochs = next.catch(() => {})
    return next
  }

  /** Certificates that are held, and by whom. */
  async list(): Promise<(Pick<Svid, 'principal' | 'epoch' | 'notAfter'> & { engines: string[] })[]> {
    const held = [...this.#holders].filter(([, engines]) => engines.size > 0)
    return Promise.all(
      held.map(async ([name, engines]) => {
        const { principal, epoch, notAfter } = await this.#svid(name)
        return { principal, epoch, notAfter, engines: [...engines].toSorted() }
      }),
    )
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer)
  }

  async #beginEpoch(): Promise<number> {
    const { authority, trustChanged, settled } = this.#options
    await authority.beginEpoch()
    // The one in force comes last: until everybody trusts the new one, that is still the old one.
    this.#anchors = [authority.anchor, ...this.#anchors]
    trustChanged()
    await settled()
    await Promise.all([...this.#holders.keys()].map((principal) => this.#reissue(principal)))
    this.#anchors = [...this.#anchors.slice(1), authority.anchor]
    trustChanged()
    await settled()
    this.#anchors = [authority.anchor]
    this.#newTicketKeys()
    trustChanged()
    await settled()
    return authority.epoch
  }

  #svid(principal: string): Promise<Svid> {
    const known = this.#svids.get(principal)
    if (known) return known
    const made = this.#options.authority.issue(principal)
    this.#svids.set(principal, made)
    return made
  }

  async #reissue(principal: string): Promise<void> {
    this.#svids.delete(principal)
    const svid = await this.#svid(principal)
    for (const engine of this.#holders.get(principal) ?? []) {
      this.#options.send(engine, { type: 'identities', upsert: [sliceOf(svid)], remove: [] })
    }
  }

  /** Makes anew what has passed half its life; called now and then. */
  async renew(): Promise<void> {
    const now = Date.now()
    for (const [principal, made] of [...this.#svids]) {
      try {
        const { renewAt } = await made
        if (this.#svids.get(principal) === made && now >= renewAt) await this.#reissue(principal)
      } catch (error) {
        this.#svids.delete(principal)
        this.#options.notice(`no certificate could be made for ${principal}: ${(error as Error).message}`)
      }
    }
  }

  #ticketKeysOf(node: string): Buffer {
    const known = this.#ticketKeys.get(node)
    if (known) return known
    const keys = randomBytes(TICKET_KEY_BYTES)
    this.#ticketKeys.set(node, keys)
    return keys
  }

  #newTicketKeys(): void {
    for (const node of this.#ticketKeys.keys()) this.#ticketKeys.set(node, randomBytes(TICKET_KEY_BYTES))
  }
}

function sliceOf({ principal, epoch, chain, key, notAfter }: Svid): IdentitySlice {
  return { principal, epoch, chain, key, notAfter }
}
