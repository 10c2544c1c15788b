import type { Source } from '../../api/manifest-error.ts'
import { KINDS, type Kind, type Resource } from '../../api/resource.ts'

/** Kinds of which a mesh has as many as functions. The specs of others are kept as they are. */
const MANY: ReadonlySet<Kind> = new Set(['Service', 'AuthorizationPolicy'])
/** Specs that were looked at lately and are kept for the next look. */
const MOST_SPECS = 512

/**
 * The resource that a text stands for, in less memory: what its spec says is read from the text when somebody looks, which is
 * seldom, since what is compiled stays. The text is one that was read before and found to be right.
 */
export function compactResource(resource: Resource, text: string): Resource {
  // The text alone does not say what its revisions run.
  if (!MANY.has(resource.kind) || 'revisions' in resource) return resource
  const compact = new CompactResource(resource, text)
  remember(compact, resource.spec)
  return compact as unknown as Resource
}

/** The resource with its spec at hand, for whoever looks at all of them. */
export function wholeResource(resource: Resource): Resource {
  if (!(resource instanceof CompactResource)) return resource
  const { apiVersion, kind, metadata, source } = resource
  return { apiVersion, kind, metadata, source, spec: readSpec(resource) } as unknown as Resource
}

class CompactResource {
  readonly apiVersion: string
  readonly kind: Kind
  readonly metadata: Resource['metadata']
  source: Source
  readonly #text: string

  constructor({ apiVersion, kind, metadata, source }: Resource, text: string) {
    // With texts of their own: as read from YAML, each is a part of the whole file and would keep that in memory.
    const own = JSON.parse(JSON.stringify({ apiVersion, metadata, source })) as Resource
    this.apiVersion = own.apiVersion
    this.kind = kind
    this.metadata = own.metadata
    this.source = own.source
    this.#text = text
  }

  get text(): string {
    return this.#text
  }

  get spec(): unknown {
    return specs.get(this) ?? remember(this, readSpec(this))
  }
}

/** In the order in which they were read. */
const specs = new Map<CompactResource, unknown>()

function remember(resource: CompactResource, spec: unknown): unknown {
  specs.set(resource, spec)
  if (specs.size > MOST_SPECS) specs.delete(specs.keys().next().value!)
  return spec
}

function readSpec({ kind, text }: CompactResource): unknown {
  return (KINDS[kind].schema.parse(JSON.parse(text)) as Resource).spec
}
