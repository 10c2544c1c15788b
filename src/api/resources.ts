import { z } from 'zod'
import { across, type CheckContext, isMapping, mapping, report, unsupported } from './fields.ts'

/** What an instance asks for and what it may use, of one kind each; null where the manifest does not say. */
export type ResourceList = {
  /** Thousandths of a CPU. */
  cpuMillis: number | null
  memoryBytes: number | null
}

/** What an instance is placed by (requests), and what it is held to where it is isolated (limits). */
export type Resources = { requests: ResourceList; limits: ResourceList }

const quantity = z.custom<string | number>(
  (value) => (typeof value === 'string' && QUANTITY.test(value)) || (typeof value === 'number' && value >= 0),
  { error: 'expected a quantity such as 500m, 1, 128Mi' },
)

const quantities = mapping({
  cpu: quantity.optional(),
  memory: quantity.optional(),
  'ephemeral-storage': unsupported('what an instance writes to disk is not counted here: remove the field'),
})

/** Kubernetes' ResourceRequirements. */
export const resourceRequirements = across(
  mapping({
    requests: quantities.optional(),
    limits: quantities.optional(),
    claims: unsupported('devices cannot be claimed here: remove the field'),
  }),
  checkResources,
)

/** What a container's resources mean; a limit without a request is the request, too, as in Kubernetes. */
export function toResources(given: z.output<typeof resourceRequirements>): Resources {
  const limits = toList(given.limits ?? {})
  const requests = toList(given.requests ?? {})
  return {
    requests: {
      cpuMillis: requests.cpuMillis ?? limits.cpuMillis,
      memoryBytes: requests.memoryBytes ?? limits.memoryBytes,
    },
    limits,
  }
}

function checkResources(value: Readonly<Record<string, unknown>>, context: CheckContext): void {
  for (const name of ['cpu', 'memory']) {
    const [request, limit] = ['requests', 'limits'].map((list) => amountAt(value[list], name))
    const { unit } = SMALLEST[name as keyof typeof SMALLEST]
    if (limit !== null && limit !== undefined && limit < SMALLEST[name as keyof typeof SMALLEST].amount) {
      report(context, 'out-of-range', `nothing can run with that: expected at least ${unit}`, [
        'limits',
        name,
      ])
    }
    if (request === null || limit === null || request === undefined || limit === undefined) continue
    if (request > limit) {
      report(context, 'conflict', 'is more than the limit: raise the limit, or ask for less', [
        'requests',
        name,
      ])
    }
  }
}

function amountAt(list: unknown, name: string): number | null {
  const value = isMapping(list) ? list[name] : undefined
  return typeof value === 'string' || typeof value === 'number' ? amountOf(value) : null
}

function toList(given: {
  cpu?: string | number | undefined
  memory?: string | number | undefined
}): ResourceList {
  const cpu = given.cpu === undefined ? null : amountOf(given.cpu)
  const memory = given.memory === undefined ? null : amountOf(given.memory)
  return {
    // Kubernetes rounds up to the smallest unit.
    cpuMillis: cpu === null ? null : Math.ceil(Number((cpu * 1_000).toFixed(6))),
    memoryBytes: memory === null ? null : Math.ceil(memory),
  }
}

/** A quantity as a number; null where it is none. */
function amountOf(value: string | number): number | null {
  if (typeof value === 'number') return value >= 0 ? value : null
  const match = QUANTITY.exec(value)
  if (match === null) return null
  const [, digits, unit = ''] = match
  return /^[eE]\d/.test(unit) ? Number(`${digits}${unit}`) : Number(digits) * FACTORS[unit]!
}

const QUANTITY = /^(\d+(?:\.\d+)?)(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei|[eE]\d{1,2})?$/
const FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  m: 0.001,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
}
/** Less is a slip of the pen (`128m` of memory is an eighth of a byte), and nothing would start. */
const SMALLEST = {
  cpu: { amount: 0.001, unit: '1m' },
  memory: { amount: 4 * 2 ** 20, unit: '4Mi' },
}
