import type { FunctionSpec } from '../api/function-spec.ts'
import {
  BREAKER_HEADER,
  HASH_COOKIE,
  HASH_HEADER,
  HASH_KEY_SIZE,
  HASH_QUERY,
  HASH_SOURCE_IP,
  OTHER_FUNCTION,
  SLOT_SIZE,
  UNBOUNDED,
} from '../sidecar/layout/breaker.ts'
import { ByteWriter } from './byte-writer.ts'
import type { MeshView } from './compile-policy.ts'
import type { RoutePlan } from './route-plan.ts'
import { planRoutes } from './routes.ts'
import { type CompiledSection, MOST_SECTION_BYTES } from './section.ts'
import { type TrafficPlan, trafficPlan } from './traffic-plan.ts'
import type { HashKey } from './traffic-settings.ts'

/** The function's section of circuit breaking; without bytes where nothing applies to it. */
export function compileBreaker(mesh: MeshView, fn: FunctionSpec): CompiledSection {
  const found = trafficPlan(mesh, fn)
  if (!found) return { ok: true, bytes: Buffer.alloc(0), rules: [] }
  const { plan, rules } = found
  const bytes = encode(plan, planRoutes(mesh, fn), fn.key)
  if (bytes.length <= MOST_SECTION_BYTES) return { ok: true, bytes, rules }
  const { policy, source } = rules[0]!
  const message = `what DestinationRules say of ${fn.key} takes ${bytes.length} bytes, at most ${MOST_SECTION_BYTES} fit: list fewer subsets or export to fewer namespaces`
  const resource = `DestinationRule ${policy}`
  return { ok: false, problems: [{ code: 'too-large', resource, source, field: 'spec.subsets', message }] }
}

/** Layout: src/sidecar/layout/breaker.ts. */
function encode(plan: TrafficPlan, routes: RoutePlan | null, own: string): Buffer {
  const slotCount = plan.subsets.length + 1
  const routeCount = routes?.routes.length ?? 0
  const tableEnd = BREAKER_HEADER + plan.views.length * slotCount * SLOT_SIZE + routeCount * 4
  const body = new ByteWriter()
  const place = (bytes: Uint8Array): number => {
    const offset = tableEnd + body.length
    body.bytes(bytes).align()
    return offset
  }
  const out = new ByteWriter()
  out.u32(plan.views.length).u32(slotCount).u32(routeCount).u32(0)
  for (const { slots } of plan.views) {
    for (const { settings } of slots) {
      const { maxRequests, maxPendingRequests } = settings.pool
      out.u32(maxRequests ?? UNBOUNDED).u32(maxPendingRequests ?? UNBOUNDED)
      out.u32(settings.hashKey ? placeHashKey(settings.hashKey, place) : 0)
    }
  }
  for (const { destinations } of routes?.routes ?? []) {
    const slots = new ByteWriter().u32(destinations.length)
    for (const { function: key, subset } of destinations)
      slots.u32(key === own ? slotOf(plan, subset) : OTHER_FUNCTION)
    out.u32(place(slots.finish()))
  }
  return out.bytes(body.finish()).finish()
}

/** A subset that no DestinationRule has is refused where VirtualServices are compiled. */
function slotOf(plan: TrafficPlan, subset: string | null): number {
  return subset === null ? 0 : plan.subsets.indexOf(subset) + 1
}

function placeHashKey(key: HashKey, place: (bytes: Uint8Array) => number): number {
  const name = Buffer.from('name' in key ? key.name : '', 'utf8')
  const attributes = Buffer.from(key.kind === 'cookie' ? cookieAttributes(key) : '', 'utf8')
  const out = new ByteWriter()
  out.u32(HASH_KINDS[key.kind])
  out.u32(place(name)).u32(name.length)
  out.u32(place(attributes)).u32(attributes.length)
  if (out.length !== HASH_KEY_SIZE) throw new Error('a hash key is laid out otherwise')
  return place(out.finish())
}

/** As Envoy writes them; "" where the mesh sets no cookie. */
function cookieAttributes({ ttl, path }: { readonly ttl: number | null; readonly path: string }): string {
  if (ttl === null) return ''
  return `${ttl > 0 ? `; Max-Age=${ttl}` : ''}${path === '' ? '' : `; Path=${path}`}; HttpOnly`
}

const HASH_KINDS: Readonly<Record<HashKey['kind'], number>> = {
  header: HASH_HEADER,
  cookie: HASH_COOKIE,
  'source-ip': HASH_SOURCE_IP,
  query: HASH_QUERY,
}
