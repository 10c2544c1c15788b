import { LIMITS, type Limits } from './limits.ts'
import { memoryImage } from './memory-image.ts'
import { meterModule } from './meter-module.ts'
import type { ModuleShape } from './module-shape.ts'
import { proveModule } from './prove-module.ts'
import { type Refusal, refusal } from './refusal.ts'
import type { SandboxModule } from './sandbox.ts'
import { type V8Guest, V8Sandbox } from './v8-sandbox.ts'

export interface LoadOptions {
  /** Size of the memory in pages, not below the module's own; left out: the module's own. */
  readonly pages?: number
  /** Fuel for all calls between two `fresh`, in instructions. */
  readonly fuel?: number
  /** Run a module whose reset cannot be proved in a new instance each time, instead of refusing it. */
  readonly allowNewInstance?: boolean
  /** Run it in a new instance each time even where a reset can be proved: to compare the two. */
  readonly alwaysNewInstance?: boolean
  /** Entries that the module must have; those that it has besides can be called too. */
  readonly entries?: readonly string[]
  /** Bytes of each page that belong to the host, together at the memory's end: the module's static data must lie below them. */
  readonly hostBytesPerPage?: number
  /** What differs from LIMITS. */
  readonly limits?: Partial<Limits>
}

export type Loaded =
  | { readonly ok: true; readonly module: SandboxModule }
  | { readonly ok: false; readonly refusal: Refusal }

/** At most about 0.3 ms of a guest's time. */
export const DEFAULT_FUEL = 200_000

/** Proves, meters and compiles a module. A module that breaks a rule is refused as a value that names rule and byte. */
export function loadModule(bytes: Uint8Array, options: LoadOptions = {}): Loaded {
  const fuel = options.fuel ?? DEFAULT_FUEL
  if (!Number.isSafeInteger(fuel) || fuel < 1) {
    throw new RangeError(`fuel is ${fuel}: expected a whole number above 0`)
  }
  const limits = { ...LIMITS, ...options.limits }
  // A copy, so that what was proved is what is compiled.
  const proof = proveModule(bytes.length > limits.moduleBytes ? bytes : new Uint8Array(bytes), limits)
  if (proof.verdict === 'refused') return { ok: false, refusal: proof.why }
  const proved = proof.verdict === 'proved'
  if (!proved && options.allowNewInstance !== true) return { ok: false, refusal: proof.why }
  const { shape } = proof
  const pages = options.pages ?? shape.pages
  const misfit =
    missingEntry(shape, options.entries ?? []) ??
    wrongSize(shape, options.pages, limits) ??
    strayData(shape, pages, options.hostBytesPerPage ?? 0)
  if (misfit !== undefined) return { ok: false, refusal: misfit }
  const entries = shape.exports.filter(({ entry }) => entry)
  const metered = meterModule(shape, {
    fuel,
    pages,
    resetsGlobals: proved,
    entries: entries.map(({ index }) => index),
  })
  let compiled: WebAssembly.Module
  try {
    compiled = new WebAssembly.Module(metered)
  } catch (error) {
    const message = `the rewritten module does not compile: ${error instanceof Error ? error.message : error}`
    return { ok: false, refusal: refusal('instantiation', 0, message) }
  }
  const names = entries.map(({ name }) => name)
  const guest: V8Guest = {
    module: {
      freshness: proved && options.alwaysNewInstance !== true ? 'reset' : 'new-instance',
      unproved: proved ? undefined : proof.why,
      entries: names,
      pages,
      fuel,
      counters: { fresh: 0, calls: 0, outOfFuel: 0, traps: 0, badResults: 0, refused: 0 },
      sandbox: () => new V8Sandbox(guest),
    },
    compiled,
    image: memoryImage(shape),
    entries: new Map(names.map((name, number) => [name, number])),
  }
  return { ok: true, module: guest.module }
}

function missingEntry(shape: ModuleShape, wanted: readonly string[]): Refusal | undefined {
  for (const name of wanted) {
    const found = shape.exports.find((candidate) => candidate.name === name)
    if (found === undefined) {
      return refusal('entry', 0, `the module does not export the entry ${name}: expected ${name}(): i32`)
    }
    if (!found.entry) {
      return refusal(
        'entry',
        found.offset,
        `the entry ${name} has another signature: expected no parameters and the result i32`,
      )
    }
  }
  return undefined
}

function strayData(shape: ModuleShape, pages: number, hostBytes: number): Refusal | undefined {
  if (hostBytes === 0) return undefined
  const place = shape.sections.get(2)?.start ?? 0
  if (pages === 0) return refusal('memory-size', place, 'the memory has no page: expected at least one')
  const most = pages * (65_536 - hostBytes)
  const stray = shape.data.find(({ address, start, end }) => address + (end - start) > most)
  if (stray === undefined) return undefined
  const end = stray.address + (stray.end - stray.start)
  return refusal(
    'data-segment',
    stray.start,
    `static data ends at address ${end}: expected it below ${most}, where the host's part of the memory begins`,
  )
}

function wrongSize(shape: ModuleShape, pages: number | undefined, limits: Limits): Refusal | undefined {
  if (pages === undefined) return undefined
  if (Number.isSafeInteger(pages) && pages >= shape.pages && pages <= limits.pages) return undefined
  return refusal(
    'memory-size',
    shape.sections.get(2)?.start ?? 0,
    `${pages} pages asked for: expected a whole number from the module's ${shape.pages} to the limit of ${limits.pages}`,
  )
}
