import type { CelScope, CelValue } from '../policy/evaluate-cel.ts'
import type { ExchangeFigures } from './log-line.ts'
import { envoyResponseFlags } from './response-flags.ts'

const NANOSECONDS = 1_000_000

/** What is left to evaluate of expressions when an exchange has ended: what a sidecar found out, and the figures. */
export class ExchangeScope implements CelScope {
  readonly #figures: ExchangeFigures
  readonly #values: readonly CelValue[] | null

  /** `values` are a sidecar's; null: there are none, so all of them are absent. */
  constructor(figures: ExchangeFigures, values: readonly CelValue[] | null) {
    this.#figures = figures
    this.#values = values
  }

  value(index: number): CelValue {
    return this.#values?.[index] ?? null
  }

  attribute(name: string): CelValue {
    const { bytesReceived, bytesSent, durationMs, responseFlags } = this.#figures
    switch (name) {
      case 'request.size':
        return bytesReceived
      case 'request.duration':
        return Math.round(durationMs * NANOSECONDS)
      case 'response.size':
        return bytesSent
      case 'response.flags':
        return envoyResponseFlags(responseFlags)
      default:
        return null
    }
  }

  /** Fields are read in the sidecar alone. */
  field(): null {
    return null
  }
}
