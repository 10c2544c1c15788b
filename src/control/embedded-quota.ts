import { QuotaAuthority, type QuotaMemory } from '../state/quota-authority.ts'
import { steadyClock } from '../state/steady-clock.ts'
import type { QuotaSource } from './quota-hub.ts'

/** How often counters that are as new are forgotten. */
const SWEEP_MS = 1_000
const FAILED_MS = 1_000

/** The quota authority of a mesh that shares its limits with no other, in this process. */
export function embeddedQuota(
  memory?: QuotaMemory & { close(): void },
  notice: (text: string) => void = () => {},
): QuotaSource {
  const authority = new QuotaAuthority(steadyClock(), memory)
  let failed = 0
  const sweep = () => {
    try {
      authority.sweep()
    } catch {
      failed++
    }
  }
  const sweeper = setInterval(sweep, SWEEP_MS).unref()
  return {
    setLimits: (limits) => authority.setLimits(limits),
    answer(node, request) {
      try {
        return authority.answer(node, request)
      } catch (error) {
        // What could not be kept is not given.
        if (failed++ === 0) notice(`limits cannot be counted: ${(error as Error).message}`)
        const grants = request.asks.map(() => ({ kind: 'unavailable', retryMs: FAILED_MS }) as const)
        return { serial: request.serial, grants }
      }
    },
    get counters() {
      return { ...authority.counters, failed }
    },
    close() {
      clearInterval(sweeper)
      memory?.close()
    },
  }
}
