import type { VirtualService } from '../api/virtual-service.ts'
import type { SectionProblem } from './section.ts'

/** What is wrong with a VirtualService, without its name; `field` is below its spec. */
export interface RouteProblem {
  readonly field: string
  readonly message: string
}

/** Thrown where a part of a VirtualService cannot be compiled, and caught where compiling it begins. */
export class RouteRefusal extends Error {
  readonly field: string

  constructor(field: string, message: string) {
    super(message)
    this.field = field
  }
}

export function routeProblem(
  { metadata, source }: VirtualService,
  { field, message }: RouteProblem,
  code: SectionProblem['code'] = 'bad-value',
): SectionProblem {
  const resource = `VirtualService ${metadata.namespace}/${metadata.name}`
  return { code, resource, source, field: `spec.${field}`, message }
}
