import { QuotaAuthority, type QuotaMemory } from '../state/quota-authority.ts'
import { steadyClock } from '../state/steady-clock.ts'
import type { QuotaSource } from './quota-hub.ts'

/** How often counters that are as new are forgotten. */
const SWEEP_MS = 1_000

/** The quota authority of a mesh that shares its limits with no other, in this process. */
export function embeddedQuota(memory?: QuotaMemory & { close(): void }): QuotaSource {
  const authority = new QuotaAuthority(steadyClock(), memory)
  const sweeper = setInterval(() => authority.sweep(), SWEEP_MS).unref()
  return {
    setLimits: (limits) => authority.setLimits(limits),
    answer: (node, request) => authority.answer(node, request),
    counters: authority.counters,
    close() {
      clearInterval(sweeper)
      memory?.close()
    },
  }
}
