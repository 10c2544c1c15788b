import { isMapping } from './fields.ts'
import { quote } from './kubernetes-name.ts'
import type { ManifestError } from './manifest-error.ts'
import { BUILT_IN_PROVIDER, defaultMeshConfig, METRICS_PROVIDER } from './mesh-config.ts'
import type { Kind, Resource } from './resource.ts'
import type { YamlDocument } from './yaml-document.ts'

/** A resource as it was found; `resource` is null where its own check failed. */
export type Found = {
  kind: Kind
  document: YamlDocument
  at: PropertyKey[]
  value: Record<string, unknown>
  resource: Resource | null
}

/** What is wrong with resources only because of one another. */
export function checkTogether(found: readonly Found[]): ManifestError[] {
  return [
    ...checkNames(found),
    ...checkSingles(found),
    ...checkProviders(found),
    ...checkAuthorizers(found),
    ...checkPeerSelectors(found),
    ...checkReserved(found),
  ]
}

/** No two resources of a kind have the same name in the same namespace. */
function checkNames(found: readonly Found[]): ManifestError[] {
  return checkUnique(found, ({ kind, value }) => {
    const metadata = isMapping(value.metadata) ? value.metadata : {}
    const namespace = metadata.namespace ?? 'default'
    if (typeof metadata.name !== 'string' || typeof namespace !== 'string') return null
    const key = `${kind} ${namespace}/${metadata.name}`
    return {
      key,
      code: 'duplicate-resource',
      field: ['metadata', 'name'],
      message: () => `${key} is written twice, also`,
    }
  })
}

/** Kinds of which there may be one: in the mesh, or in a namespace for all of its functions. */
function checkSingles(found: readonly Found[]): ManifestError[] {
  return checkUnique(found, ({ resource }) => {
    if (!resource) return null
    const { namespace } = resource.metadata
    const message = () =>
      `namespace ${quote(namespace)} has another ${resource.kind} for all of its functions: give one of them a selector; the other is`
    switch (resource.kind) {
      case 'MeshConfig':
        return {
          key: 'MeshConfig',
          code: 'conflict',
          field: ['kind'],
          message: () => 'a mesh has one MeshConfig; the other is',
        }
      case 'PeerAuthentication':
        if (isFilled(resource.spec.selector?.matchLabels)) return null
        return { key: `PeerAuthentication ${namespace}`, code: 'conflict', field: ['spec'], message }
      case 'Sidecar':
        if (isFilled(resource.spec.workloadSelector?.labels)) return null
        return { key: `Sidecar ${namespace}`, code: 'conflict', field: ['spec'], message }
      case 'Telemetry':
        if (isFilled(resource.spec.selector?.matchLabels)) return null
        return { key: `Telemetry ${namespace}`, code: 'conflict', field: ['spec'], message }
      default:
        return null
    }
  })
}

type Claim = {
  key: string
  code: 'duplicate-resource' | 'conflict'
  field: string[]
  message(): string
}

function checkUnique(found: readonly Found[], claimOf: (one: Found) => Claim | null): ManifestError[] {
  const first = new Map<string, Found>()
  const errors: ManifestError[] = []
  for (const one of found) {
    const claim = claimOf(one)
    if (!claim) continue
    const { key, code, field, message } = claim
    const before = first.get(key)
    if (before === undefined) {
      first.set(key, one)
      continue
    }
    const { file, line } = before.document.errorAt([...before.at, ...field], code, '')
    errors.push(one.document.errorAt([...one.at, ...field], code, `${message()} at ${file}:${line}`))
  }
  return errors
}

/** The check services that CUSTOM policies name; without them such a policy could only deny. */
function checkAuthorizers(found: readonly Found[]): ManifestError[] {
  // What is wrong with a MeshConfig that cannot be read is said already.
  if (found.some(({ kind, resource }) => kind === 'MeshConfig' && resource === null)) return []
  const mesh = found.find(({ resource }) => resource?.kind === 'MeshConfig')?.resource
  const providers = mesh?.kind === 'MeshConfig' ? mesh.spec.extensionProviders : []
  return found.flatMap(({ document, at, resource }) => {
    if (resource?.kind !== 'AuthorizationPolicy' || !resource.spec.provider) return []
    const { name } = resource.spec.provider
    const provider = providers.find((one) => one.name === name)
    if (provider?.envoyExtAuthzHttp) return []
    const message = provider
      ? `${quote(name)} is no check service: name a provider with envoyExtAuthzHttp`
      : `${quote(name)} is not among the MeshConfig's extensionProviders`
    return [document.errorAt([...at, 'spec', 'provider', 'name'], 'bad-value', message)]
  })
}

/** Where there is a MeshConfig it names all providers that a Telemetry may use. */
function checkProviders(found: readonly Found[]): ManifestError[] {
  const mesh = found.find(({ resource }) => resource?.kind === 'MeshConfig')?.resource
  if (mesh?.kind !== 'MeshConfig') return []
  const known = new Set([
    BUILT_IN_PROVIDER,
    METRICS_PROVIDER,
    ...mesh.spec.extensionProviders.map(({ name }) => name),
  ])
  const errors: ManifestError[] = []
  for (const { document, at, resource } of found) {
    if (resource?.kind !== 'Telemetry') continue
    for (const list of ['tracing', 'accessLogging', 'metrics'] as const) {
      resource.spec[list].forEach(({ providers = [] }, entry) => {
        providers.forEach(({ name }, index) => {
          if (known.has(name)) return
          const path = [...at, 'spec', list, entry, 'providers', index, 'name']
          const message = `${quote(name)} is not among the MeshConfig's extensionProviders`
          errors.push(document.errorAt(path, 'bad-value', message))
        })
      })
    }
  }
  return errors
}

/** The mesh's gateways have this identity, which the nodes of functions take for that of clients without one; `node` is the nodes' own. */
export const RESERVED_IDENTITY = { namespace: 'mayfly-system', serviceAccount: 'gateway' }
const RESERVED_ACCOUNTS = [RESERVED_IDENTITY.serviceAccount, 'node']

function checkReserved(found: readonly Found[]): ManifestError[] {
  const { namespace } = RESERVED_IDENTITY
  return found.flatMap(({ document, at, resource }) => {
    if (resource?.kind !== 'Service' || resource.metadata.namespace !== namespace) return []
    const account = resource.spec.template.spec.serviceAccountName
    const serviceAccount = account ?? resource.metadata.name
    if (!RESERVED_ACCOUNTS.includes(serviceAccount)) return []
    const path =
      account === undefined ? ['metadata', 'name'] : ['spec', 'template', 'spec', 'serviceAccountName']
    const message = `the service account ${quote(serviceAccount)} of namespace ${quote(namespace)} is the mesh's own: choose another one`
    return [document.errorAt([...at, ...path], 'conflict', message)]
  })
}

/** Istio does not look at such a selector, so that the policy would mean less than it says. */
function checkPeerSelectors(found: readonly Found[]): ManifestError[] {
  const mesh = found.find(({ resource }) => resource?.kind === 'MeshConfig')?.resource
  const root = (mesh?.kind === 'MeshConfig' ? mesh.spec : defaultMeshConfig).rootNamespace
  const message = `in the root namespace ${quote(root)} a PeerAuthentication is for the whole mesh: remove the selector, or write it in the functions' namespace`
  return found.flatMap(({ document, at, resource }) => {
    if (resource?.kind !== 'PeerAuthentication' || resource.metadata.namespace !== root) return []
    if (!isFilled(resource.spec.selector?.matchLabels)) return []
    return [document.errorAt([...at, 'spec', 'selector'], 'unsupported', message)]
  })
}

function isFilled(labels: Record<string, string> | undefined): boolean {
  return labels !== undefined && Object.keys(labels).length > 0
}
