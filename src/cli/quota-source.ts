import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { homedir, hostname } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { embeddedQuota } from '../control/embedded-quota.ts'
import type { QuotaSource } from '../control/quota-hub.ts'
import type { QuotaLimit } from '../policy/quota-limit.ts'
import { QuotaFile } from '../state/quota-file.ts'
import { ValkeyQuota } from '../state/valkey-quota.ts'

/** Where `--state` says that what limits have let through is kept. */
export type StatePlace =
  | { readonly kind: 'folder'; readonly folder: string }
  | { readonly kind: 'valkey'; readonly url: string; readonly folder: string }
  /** Nobody counts: limits go by onUnavailable. */
  | { readonly kind: 'none'; readonly why: string; readonly folder: string }

/** Longest wait for a state store when a mesh starts, in milliseconds; after that it serves by onUnavailable. */
const READY_MS = 3_000

/** Reads `--state`; without it, and for what is kept beside a server, the folder `own`. */
export function readState(
  text: string | undefined,
  own: string,
): { ok: true; place: StatePlace } | { ok: false; message: string } {
  if (text === undefined) return { ok: true, place: { kind: 'folder', folder: own } }
  if (!text.includes('://')) return { ok: true, place: { kind: 'folder', folder: resolve(text) } }
  const url = URL.canParse(text) ? new URL(text) : null
  const scheme = /^(?:redis|valkey)(s?):\/\//.exec(text)
  if (!url || !scheme || url.hostname === '') {
    return {
      ok: false,
      message: `--state ${text}: expected a folder, or redis://HOST:PORT (valkey://, rediss://)`,
    }
  }
  return {
    ok: true,
    place: { kind: 'valkey', url: text.replace(/^\w+:/, `redis${scheme[1]}:`), folder: own },
  }
}

/** Reads `--state` of one of several control planes: what one of them counted in a folder of its own, the next one would not know. */
export function readSharedState(text: string | undefined, own: string): ReturnType<typeof readState> {
  if (text === undefined) {
    const why = 'with etcd, limits are counted in a Valkey or Redis server, --state redis://HOST:PORT'
    return { ok: true, place: { kind: 'none', why, folder: '' } }
  }
  const read = readState(text, own)
  if (!read.ok || read.place.kind === 'valkey') return read
  return {
    ok: false,
    message: `--state ${text}: with --store etcd:// expected redis://HOST:PORT: a folder is not shared`,
  }
}

/** What leases quota, opened when there first is a limit: a mesh without any leaves no trace. */
export class LazyQuota implements QuotaSource {
  readonly #place: StatePlace
  readonly #notice: (text: string) => void
  #source: (QuotaSource & { ready?(timeoutMs: number): Promise<void> }) | null = null
  #limits: readonly QuotaLimit[] = []
  #saidFailed = false

  constructor(place: StatePlace, notice: (text: string) => void) {
    this.#place = place
    this.#notice = notice
  }

  /** Resolves when quota can be given, or when that takes too long. */
  async begin(limits: readonly QuotaLimit[]): Promise<void> {
    this.setLimits(limits)
    await this.#source?.ready?.(READY_MS)
  }

  setLimits(limits: readonly QuotaLimit[]): void {
    this.#limits = limits
    if (limits.length > 0) this.#opened()
    this.#source?.setLimits(limits)
  }

  answer(...request: Parameters<QuotaSource['answer']>): ReturnType<QuotaSource['answer']> {
    const [, { serial, asks }] = request
    const source = this.#opened()
    if (source) return source.answer(...request)
    return { serial, grants: asks.map(() => ({ kind: 'unavailable', retryMs: READY_MS })) }
  }

  get counters(): Record<string, number> {
    return this.#source?.counters ?? {}
  }

  close(): void {
    this.#source?.close()
  }

  /** Null where it cannot be opened, which is tried again with the next request for quota. */
  #opened(): QuotaSource | null {
    if (this.#source) return this.#source
    const { folder } = this.#place
    try {
      this.#source = this.#open()
      this.#source.setLimits(this.#limits)
    } catch (error) {
      if (!this.#saidFailed)
        this.#notice(
          `rate limits go by onUnavailable: ${(error as Error).message}${folder && ` (${folder})`}: choose another place with --state`,
        )
      this.#saidFailed = true
    }
    return this.#source
  }

  #open(): QuotaSource {
    const { folder } = this.#place
    if (this.#place.kind === 'none') throw new Error(this.#place.why)
    if (this.#place.kind === 'folder') return embeddedQuota(QuotaFile.open(folder, Date.now()), this.#notice)
    const { url } = this.#place
    const mesh = createHash('sha256').update(`${hostname()} ${folder}`).digest('hex').slice(0, 16)
    return new ValkeyQuota(url, { mesh, known: knownRun(folder, url), notice: this.#notice })
  }
}

/** Which run of the server this machine's meshes last counted with. */
function knownRun(folder: string, url: string): { load(): string; save(run: string): void } {
  const { host } = new URL(url)
  const file = join(folder, `valkey-${createHash('sha256').update(host).digest('hex').slice(0, 16)}`)
  return {
    load() {
      try {
        return readFileSync(file, 'utf8').trim()
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
        throw error
      }
    },
    save(run) {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      writeFileSync(file, `${run}\n`, { mode: 0o600 })
    },
  }
}

/** A folder of the user's own for what a mesh of these manifests keeps, named so that another run of it finds it. */
export function stateFolder(dir: string): string {
  const state = process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state')
  let path = resolve(dir)
  try {
    path = realpathSync(path)
  } catch {
    // It is said elsewhere that it does not exist.
  }
  const hash = createHash('sha256').update(path).digest('hex').slice(0, 12)
  return join(state, 'mayfly', `${basename(path)}-${hash}`)
}
