import { Code, ConnectError, type HandlerContext, type ServiceImpl } from '@connectrpc/connect'
import { formatManifestError } from '../../api/manifest-error.ts'
import type { CertificateAuthority } from '../certificate-authority.ts'
import { standsBy } from '../leadership.ts'
import type { NodeBook } from '../nodes/node-book.ts'
import type { MeshService } from '../proto/mayfly/v1/mesh_pb.js'
import { readAudit } from '../resources/audit-log.ts'
import { type KeptResource, resourceKey } from '../resources/kept-resource.ts'
import type { Refused, Request, ResourceChange } from '../resources/resource-change.ts'
import type { ResourceStore } from '../resources/resource-store.ts'
import { readRevisions } from '../resources/service-revisions.ts'
import { revisionName } from '../revision-name.ts'
import type { Store } from '../store/store.ts'
import type { ClientBook } from './client-book.ts'
import { credentialCalls } from './credentials.ts'
import type { JoinTokens, NodeRole } from './join-tokens.ts'
import { listResources, toItem } from './list-resources.ts'
import { allowedClient, whileAllowed } from './rights.ts'
import { watchResources } from './watch-resources.ts'

export interface MeshServiceParts {
  store: Store
  resources: ResourceStore
  tokens: JoinTokens
  /** What the mesh is doing, as a plain value; undefined: there is no such thing. */
  status(what: string, name: string): Promise<unknown>
  logs(fn: string, follow: boolean, tail: number, signal: AbortSignal): AsyncIterable<unknown>
  /** What a request that is described comes to; throws an Error that says what is wrong with the description. */
  explain(request: unknown): Promise<unknown>
  clients: ClientBook
  authority: CertificateAuthority
  trustDomain: string
  nodes: NodeBook
  /** The mesh is to hold to what the book of nodes says now. */
  scheduled(node: string, schedulable: boolean, drain: boolean): void
  /** The node's identity was taken back. */
  nodeDeleted(node: string): void
  version: string
  instance: string
  /** Whether this control plane leads; one that stands by answers from what the leader has written. */
  isLeader(): boolean
  /** Where the control plane that leads is reached. */
  leader(): string | null
}

/** Seconds that a join token is valid, where nobody says. */
const TOKEN_SECONDS = 600
const MOST_TOKEN_SECONDS = 86_400

/** The API for clients. Every call but the version needs a client's certificate. */
export function meshService(parts: MeshServiceParts): ServiceImpl<typeof MeshService> {
  const { resources, store, tokens, clients } = parts
  const { audit } = resources

  const looking = (context: HandlerContext) => allowedClient(context, clients, 'look')

  const changing = async (context: HandlerContext) => {
    const client = await allowedClient(context, clients, 'change')
    if (!parts.isLeader()) throw new ConnectError(standsBy(parts.leader()), Code.Unavailable)
    return client
  }

  const change = async (request: Request, context: HandlerContext, dryRun: boolean) => {
    const { name, from } = await (dryRun ? looking(context) : changing(context))
    const outcome = await resources.request(request, { who: name, from }, dryRun)
    if (!outcome.ok) throw toError(outcome.refused)
    return outcome.changes.map(toApplied)
  }

  return {
    async apply({ files, dryRun }, context) {
      return { applied: await change({ kind: 'apply', files }, context, dryRun) }
    },
    async delete({ kind, namespace, name, resourceVersion, dryRun }, context) {
      const request = { kind: 'delete' as const, of: kind, namespace, name, resourceVersion }
      const [applied] = await change(request, context, dryRun)
      return { applied: applied! }
    },
    async list(request, context) {
      await looking(context)
      return { items: listed(request, resources) }
    },
    async *watch(request, context) {
      const allowed = whileAllowed(context, clients, await looking(context))
      try {
        yield* watchResources(request, resources, allowed.signal)
      } finally {
        allowed.end()
      }
    },
    async listRevisions({ namespace, name }, context) {
      await looking(context)
      const { generation } = serviceOf(resources, namespace, name)
      const revisions = await readRevisions(store, namespace, name)
      return {
        revisions: revisions.map((one) => ({
          generation: BigInt(one.generation),
          name: revisionName(name, one.generation),
          manifest: one.text,
          current: one.generation === generation,
        })),
      }
    },
    async rollback({ namespace, name, generation }, context) {
      await looking(context)
      const current = serviceOf(resources, namespace, name)
      const wanted = Number(generation) || current.generation - 1
      const revision = (await readRevisions(store, namespace, name)).find((one) => one.generation === wanted)
      if (!revision)
        throw new ConnectError(
          `Service ${namespace}/${name} has no revision ${wanted} that is kept`,
          Code.NotFound,
        )
      const files = [{ path: `revision ${wanted} of ${namespace}/${name}`, text: revision.text }]
      return { applied: await change({ kind: 'apply', files }, context, false) }
    },
    async status({ what, name }, context) {
      await looking(context)
      const value = await parts.status(what, name)
      if (value === undefined || value === null)
        throw new ConnectError(`there is no ${what}${name === '' ? '' : ` ${name}`}`, Code.NotFound)
      return { json: JSON.stringify(value) }
    },
    async *logs({ function: fn, follow, tail }, context) {
      const allowed = whileAllowed(context, clients, await looking(context))
      try {
        for await (const line of parts.logs(fn, follow, tail, allowed.signal))
          yield { json: JSON.stringify(line) }
      } finally {
        allowed.end()
      }
    },
    async listAudit({ limit }, context) {
      await looking(context)
      const records = await readAudit(store, limit || 100)
      return { recordsJson: records.map((record) => JSON.stringify(record)) }
    },
    async createJoinToken({ validSeconds, role }, context) {
      const client = await changing(context)
      if (role !== 'node' && role !== 'gateway')
        throw new ConnectError(
          `role is ${JSON.stringify(role)}: write "node" or "gateway"`,
          Code.InvalidArgument,
        )
      if (validSeconds < 0 || validSeconds > MOST_TOKEN_SECONDS)
        throw new ConnectError(
          `valid_seconds is ${validSeconds}: at most ${MOST_TOKEN_SECONDS}`,
          Code.InvalidArgument,
        )
      const record = audit.of(client, 'JoinToken', role, 'created', Date.now())
      const validMs = (validSeconds || TOKEN_SECONDS) * 1_000
      const created = await tokens.create(role satisfies NodeRole, validMs, record)
      if (!created.ok) throw new ConnectError(created.message, Code.Unavailable)
      return { token: created.token }
    },
    async setNodeSchedulable({ node, schedulable, drain }, context) {
      const client = await changing(context)
      const action = schedulable ? 'uncordoned' : drain ? 'drained' : 'cordoned'
      const record = audit.of(client, 'Node', node, action, Date.now())
      if (!(await parts.nodes.setSchedulable(node, schedulable, !schedulable && drain, record)))
        throw noSuchNode(node)
      parts.scheduled(node, schedulable, drain)
      return {}
    },
    async deleteNode({ node }, context) {
      const client = await changing(context)
      const record = audit.of(client, 'Node', node, 'deleted', Date.now())
      if (!(await parts.nodes.remove(node, record))) throw noSuchNode(node)
      parts.nodeDeleted(node)
      return {}
    },
    async explain({ request }, context) {
      await looking(context)
      try {
        return { json: JSON.stringify(await parts.explain(JSON.parse(request))) }
      } catch (error) {
        throw new ConnectError((error as Error).message, Code.InvalidArgument)
      }
    },
    ...credentialCalls({ ...parts, audit }),
    async backup({ file }, context) {
      await changing(context)
      if (!file.startsWith('/'))
        throw new ConnectError(
          "file: write an absolute path on the control plane's machine",
          Code.InvalidArgument,
        )
      try {
        await store.backup(file)
      } catch (error) {
        throw new ConnectError(`the backup failed: ${(error as Error).message}`, Code.FailedPrecondition)
      }
      return {}
    },
    version() {
      return { version: parts.version, instance: parts.instance, leader: parts.isLeader() }
    },
  }
}

function listed(request: Parameters<typeof listResources>[0], resources: ResourceStore) {
  const found = listResources(request, resources.kept)
  if (!found.ok) throw new ConnectError(found.message, Code.InvalidArgument)
  return found.items.map(toItem)
}

function serviceOf(resources: ResourceStore, namespace: string, name: string): KeptResource {
  const kept = resources.kept.get(resourceKey('Service', namespace, name))
  if (!kept) throw new ConnectError(`there is no Service ${namespace}/${name}`, Code.NotFound)
  return kept
}

function toApplied({ action, before, after }: ResourceChange) {
  const { resource, modified, generation } = (after ?? before)!
  return {
    kind: resource.kind,
    namespace: resource.metadata.namespace,
    name: resource.metadata.name,
    action,
    resourceVersion: modified === 0 ? '' : String(modified),
    before: before?.text ?? '',
    after: after?.text ?? '',
    generation: BigInt(generation),
  }
}

function toError(refused: Refused): ConnectError {
  switch (refused.kind) {
    case 'invalid':
      return new ConnectError(refused.errors.map(formatManifestError).join('\n'), Code.InvalidArgument)
    case 'missing':
      return new ConnectError(refused.message, Code.NotFound)
    case 'conflict':
      return new ConnectError(refused.message, Code.Aborted)
    case 'unavailable':
      return new ConnectError(refused.message, Code.Unavailable)
  }
}

function noSuchNode(node: string): ConnectError {
  return new ConnectError(`there is no node ${node}, or the store does not answer`, Code.NotFound)
}
