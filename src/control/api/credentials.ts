import { Code, ConnectError, type ServiceImpl } from '@connectrpc/connect'
import type { CertificateAuthority } from '../certificate-authority.ts'
import type { MeshService } from '../proto/mayfly/v1/mesh_pb.js'
import type { AuditLog } from '../resources/audit-log.ts'
import type { Store } from '../store/store.ts'
import { clientPrincipal } from './asker.ts'
import { ADMIN, type ClientBook } from './client-book.ts'
import { certifyRequest } from './control-identity.ts'
import { allowedClient } from './rights.ts'

export interface CredentialParts {
  store: Store
  clients: ClientBook
  authority: CertificateAuthority
  trustDomain: string
  audit: AuditLog
}

/** Days that a credential is valid, where nobody says. */
const VALID_DAYS = 30
const MOST_DAYS = 365
const DAY_MS = 86_400_000
const NAME = /^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$/

type Calls = Pick<
  ServiceImpl<typeof MeshService>,
  'createCredential' | 'listCredentials' | 'deleteCredential'
>

/** The calls by which clients make credentials for others, and take them back. */
export function credentialCalls(parts: CredentialParts): Calls {
  const { clients, store, audit, authority, trustDomain } = parts
  return {
    async createCredential({ name, certificateRequest, readOnly, validDays }, context) {
      const asker = await allowedClient(context, clients, 'change')
      checkName(name)
      if (validDays < 0 || validDays > MOST_DAYS)
        throw new ConnectError(`valid_days is ${validDays}: at most ${MOST_DAYS}`, Code.InvalidArgument)
      const lifetimeMs = (validDays || VALID_DAYS) * DAY_MS
      const principal = clientPrincipal(trustDomain, name)
      const certified = await certifyRequest(authority, certificateRequest, principal, lifetimeMs)
      if (!certified.ok) throw new ConnectError(certified.message, Code.InvalidArgument)
      const now = Date.now()
      const isNew = (await clients.get(name)) === null
      const client = {
        name,
        keyHash: certified.keyHash,
        readOnly,
        createdAt: new Date(now).toISOString(),
        expiresAt: new Date(now + lifetimeMs).toISOString(),
        createdBy: asker.name,
      }
      const change = audit.of(asker, 'Credential', name, isNew ? 'created' : 'configured', now)
      const commit = await store.commit([...clients.noting(client), ...change])
      if (!commit.ok) throw new ConnectError('the credential could not be noted: try again', Code.Unavailable)
      return { certificate: certified.certificate, roots: authority.root }
    },
    async listCredentials(_, context) {
      await allowedClient(context, clients, 'look')
      return { credentials: await clients.list() }
    },
    async deleteCredential({ name }, context) {
      const asker = await allowedClient(context, clients, 'change')
      checkName(name)
      if ((await clients.get(name)) === null)
        throw new ConnectError(`there is no credential of a client ${name}`, Code.NotFound)
      const change = audit.of(asker, 'Credential', name, 'deleted', Date.now())
      const commit = await store.commit([...clients.forgetting(name), ...change])
      if (!commit.ok)
        throw new ConnectError('the credential could not be taken back: try again', Code.Unavailable)
      return {}
    },
  }
}

function checkName(name: string): void {
  if (name === ADMIN)
    throw new ConnectError(
      "admin is the client of the control plane's own folder: choose another name",
      Code.InvalidArgument,
    )
  if (!NAME.test(name))
    throw new ConnectError(
      `${JSON.stringify(name)} is no name of a client: write up to 63 lower-case letters, digits, "-" and "."`,
      Code.InvalidArgument,
    )
}
