import type { FunctionSpec } from '../api/function-spec.ts'
import type { HttpDestination, HttpRoute } from '../api/http-route.ts'
import { block, listWords, type Part, textWords } from './block.ts'
import { ByteWriter } from './byte-writer.ts'
import { retryPlan } from './retry-plan.ts'
import { encodeAction } from './route-action.ts'
import { encodeAnyMatch, encodeMatch } from './route-match.ts'
import type { PlannedRoute, RetryPlan, RouteDestination, RoutePlan } from './route-plan.ts'
import { RouteRefusal, routeProblem } from './route-problem.ts'
import {
  type AppliedService,
  checkServices,
  destinationOf,
  type RouteInput,
  servicesFor,
} from './route-services.ts'
import { type CompiledSection, MOST_SECTION_BYTES, type RuleName, type SectionProblem } from './section.ts'
import { encodeStringList } from './string-match.ts'
import { trafficPlan } from './traffic-plan.ts'

/** The ROUTES section of a function; without bytes where no VirtualService applies to it. */
export function compileRoutes(input: RouteInput, fn: FunctionSpec): CompiledSection {
  const { problems, bytes, rules } = routesOf(input, fn)
  return problems.length > 0 ? { ok: false, problems } : { ok: true, bytes, rules }
}

/** The gateway's own section, which has no routes: whether every VirtualService can apply to something. */
export function checkRoutes(input: RouteInput): CompiledSection {
  const problems = checkServices(input)
  return problems.length > 0 ? { ok: false, problems } : { ok: true, bytes: EMPTY, rules: [] }
}

/** What the engine needs beside the section; null where no VirtualService applies. To be asked of functions that compile. */
export function planRoutes(input: RouteInput, fn: FunctionSpec): RoutePlan | null {
  return routesOf(input, fn).plan
}

interface Routes {
  readonly problems: readonly SectionProblem[]
  readonly bytes: Buffer
  readonly rules: readonly RuleName[]
  readonly plan: RoutePlan | null
}

/** What was made of the same view and function before: the section, the plan and the breaker's table are all made of it. */
const made = new WeakMap<RouteInput, Map<FunctionSpec, Routes>>()

function routesOf(input: RouteInput, fn: FunctionSpec): Routes {
  const ofView = made.get(input) ?? new Map<FunctionSpec, Routes>()
  made.set(input, ofView)
  const known = ofView.get(fn)
  if (known) return known
  const routes = makeRoutes(input, fn)
  ofView.set(fn, routes)
  return routes
}

function makeRoutes(input: RouteInput, fn: FunctionSpec): Routes {
  const { services, problems } = servicesFor(input, fn)
  if (services.length === 0) return { problems, bytes: EMPTY, rules: [], plan: null }
  const routes: PlannedRoute[] = []
  const retries = new RetryPlans()
  const rules: RuleName[] = []
  const out = new ByteWriter()
  out.u32(services.length)
  for (const applied of services) {
    const { metadata, spec, source } = applied.service
    const policy = `${metadata.namespace}/${metadata.name}`
    const blocks = spec.http.map((route, index) => {
      const field = `http[${index}]`
      try {
        const { planned, bytes } = compileRoute(input, fn, applied, route, {
          number: rules.length,
          field,
          retries,
        })
        routes.push(planned)
        return bytes
      } catch (error) {
        if (!(error instanceof RouteRefusal)) throw error
        problems.push(routeProblem(applied.service, error))
        return EMPTY
      } finally {
        rules.push({ policy, index, source })
      }
    })
    out.bytes(block([applied.from, namespaces(applied), ...listWords(blocks), ...textWords(policy)]))
    if (out.length > MOST_SECTION_BYTES && problems.length === 0) {
      const message = `with this one the routes of ${fn.key} take ${out.length} bytes, at most ${MOST_SECTION_BYTES} fit: shorten them`
      problems.push(routeProblem(applied.service, { field: 'http', message }, 'too-large'))
    }
  }
  return { problems, bytes: out.finish(), rules, plan: { routes, retries: retries.plans } }
}

interface RoutePlace {
  readonly number: number
  readonly field: string
  readonly retries: RetryPlans
}

function compileRoute(
  input: RouteInput,
  fn: FunctionSpec,
  { service, from }: AppliedService,
  route: HttpRoute,
  { number, field, retries }: RoutePlace,
): { planned: PlannedRoute; bytes: Buffer } {
  const { namespace, name } = service.metadata
  const destination = (to: HttpDestination, at: string) => resolve(input, to, namespace, at)
  const destinations = (route.route ?? []).map((to, i) =>
    destination(to.destination, `${field}.route[${i}].destination`),
  )
  const mirrors = mirrorsOf(route, field)
  const planned: PlannedRoute = {
    name: route.name ?? '',
    virtualService: `${namespace}/${name}`,
    destinations,
    timeoutMs: route.timeout ?? null,
    retry: route.retries ? retries.numberOf(retryPlan(route.retries)) : null,
    delayMs: route.fault?.delay?.fixedDelay ?? 0,
    mirrors: mirrors.map(({ to, at }) => destination(to, at)),
  }
  const matches = route.match?.map((match, i) =>
    encodeMatch(input, match, planned.name, from, `${field}.match[${i}]`),
  ) ?? [encodeAnyMatch(planned.name, from)]
  const targets = {
    isOther: destinations.map((to) => to.function !== fn.key),
    mirrored: mirrors.map(({ percentage }) => percentage),
  }
  return { planned, bytes: block([number, ...listWords(matches), encodeAction(route, targets, field)]) }
}

/** The function that a destination means; its requests are judged by that function's own policies. */
function resolve(input: RouteInput, to: HttpDestination, namespace: string, field: string): RouteDestination {
  const target = destinationOf(input, to.host, namespace)
  if (!target)
    throw new RouteRefusal(`${field}.host`, `${JSON.stringify(to.host)} names no function of this mesh`)
  // Port 80 is that of a Knative Service, whatever its container listens on.
  if (to.port && to.port.number !== target.port && to.port.number !== 80)
    throw new RouteRefusal(
      `${field}.port.number`,
      `${target.key} is served at port ${target.port}: write that, or remove the field`,
    )
  const { destinationRules = [] } = input
  if (
    to.subset !== undefined &&
    !trafficPlan({ ...input, destinationRules }, target)?.plan.subsets.includes(to.subset)
  )
    throw new RouteRefusal(
      `${field}.subset`,
      `no DestinationRule for ${target.key} has a subset ${JSON.stringify(to.subset)}`,
    )
  return { function: target.key, subset: to.subset ?? null }
}

function mirrorsOf(
  route: HttpRoute,
  field: string,
): { to: HttpDestination; at: string; percentage: number }[] {
  const { mirror, mirrors, mirrorPercentage, mirrorPercent } = route
  if (mirror)
    return [
      { to: mirror, at: `${field}.mirror`, percentage: mirrorPercentage?.value ?? mirrorPercent ?? 100 },
    ]
  return (mirrors ?? []).map(({ destination, percentage }, i) => ({
    to: destination,
    at: `${field}.mirrors[${i}].destination`,
    percentage: percentage?.value ?? 100,
  }))
}

function namespaces({ namespaces }: AppliedService): Part {
  return namespaces && encodeStringList(namespaces.map((text) => ({ form: 'exact', text })))
}

/** The retry policies of a function's routes, each once. */
class RetryPlans {
  readonly plans: RetryPlan[] = []

  numberOf(plan: RetryPlan): number {
    const known = this.plans.findIndex((other) => JSON.stringify(other) === JSON.stringify(plan))
    return known >= 0 ? known : this.plans.push(plan) - 1
  }
}

const EMPTY = Buffer.alloc(0)
