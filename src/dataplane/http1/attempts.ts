import { encodeRetryPolicy } from '../../policy/retry-policy.ts'
import type { RetryPlan } from '../../policy/route-plan.ts'
import {
  FAILURE_NONE,
  RETRY_BITS,
  RETRY_FAILURE,
  RETRY_MAY_REPEAT,
  RETRY_MAY_SPEND,
} from '../../sidecar/layout/retry.ts'
import type { Circuit } from '../circuit.ts'
import type { Endpoint } from '../endpoint-set.ts'
import type { AttemptFacts } from '../sidecar.ts'

const FIRST_LINE = 'x-envoy-attempt-count: 1\r\n'
/** The back-off grows up to so many times its base, as Envoy's. */
const MOST_BACK_OFFS = 10

/** The attempts of one request whose route has a retry policy. */
export class Attempts {
  readonly plan: RetryPlan
  readonly #circuit: Circuit
  readonly #record: Buffer
  readonly #random: () => number
  #number = 1
  /** This attempt counts in the budget of retries. */
  #spends = false
  /** Where the latest attempt was sent to, and where those before it were. */
  #last: Endpoint | null = null
  #tried: Set<Endpoint> | null = null

  constructor(plan: RetryPlan, circuit: Circuit, random: () => number) {
    this.plan = plan
    this.#circuit = circuit
    this.#random = random
    this.#record = recordOf(plan)
  }

  /** Which attempt this is, from 1. */
  get number(): number {
    return this.#number
  }

  /** Instances that had an attempt before; null: none, or the policy does not mind. */
  get tried(): ReadonlySet<Endpoint> | null {
    return this.#tried
  }

  /** The head with the field that tells the instance which attempt this is. */
  counted(head: Buffer): Buffer {
    return withLine(head, this.#number === 1 ? FIRST_LINE : `x-envoy-attempt-count: ${this.#number}\r\n`)
  }

  sentTo(endpoint: Endpoint): void {
    this.#last = endpoint
  }

  /** `failure` is FAILURE_*; `repeatable`: the whole request is held, and nothing of an answer has gone out. */
  facts(failure: number, repeatable: boolean): AttemptFacts {
    const bits = (repeatable ? RETRY_MAY_REPEAT : 0) | (this.#maySpend ? RETRY_MAY_SPEND : 0)
    this.#record.writeUInt32LE(failure, RETRY_FAILURE)
    this.#record.writeUInt32LE(bits, RETRY_BITS)
    return { number: this.#number, record: this.#record }
  }

  /** An answer has come. */
  answered(repeatable: boolean): AttemptFacts {
    return this.facts(FAILURE_NONE, repeatable)
  }

  /** Another attempt is to be made; gives the milliseconds to wait before it: full jitter below a base that doubles. */
  next(): number {
    this.end()
    if (this.#last && this.plan.avoidsPrevious) {
      this.#tried ??= new Set()
      this.#tried.add(this.#last)
    }
    const most = this.plan.backOffMs * Math.min(2 ** (this.#number - 1), MOST_BACK_OFFS)
    this.#number++
    this.#spends = true
    this.#circuit.retries++
    return this.#random() * most
  }

  /** The attempt has come to its end, and so has what it spends. */
  end(): void {
    if (this.#spends) this.#circuit.retries--
    this.#spends = false
  }

  /** The one that ends would free what it spends. */
  get #maySpend(): boolean {
    if (!this.#spends) return this.#circuit.mayRetry
    this.#circuit.retries--
    const may = this.#circuit.mayRetry
    this.#circuit.retries++
    return may
  }
}

function withLine(head: Buffer, line: string): Buffer {
  const whole = Buffer.allocUnsafe(head.length + line.length)
  const end = head.length - 2
  head.copy(whole, 0, 0, end)
  whole.write(line, end, 'latin1')
  head.copy(whole, end + line.length, end)
  return whole
}

/** One for each policy: an engine judges one attempt at a time. */
const RECORDS = new WeakMap<RetryPlan, Buffer>()

function recordOf(plan: RetryPlan): Buffer {
  const known = RECORDS.get(plan)
  if (known) return known
  const record = encodeRetryPolicy(plan)
  RECORDS.set(plan, record)
  return record
}
