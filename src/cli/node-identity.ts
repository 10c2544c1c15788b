import { X509Certificate } from 'node:crypto'
import type { SecureClientSessionOptions } from 'node:http2'
import { connect } from 'node:tls'
import { type Client, createClient } from '@connectrpc/connect'
import { createConnectTransport, Http2SessionManager } from '@connectrpc/connect-node'
import { checkControlPlane } from '../control/api/asker.ts'
import { newRequest } from '../control/api/control-identity.ts'
import { certificateHash, rootHashOf } from '../control/api/join-tokens.ts'
import { NodeService } from '../control/proto/mayfly/v1/nodes_pb.js'
import { type ClusterCredential, readCredential, writeCredential } from './cluster-credential.ts'

/** A certificate is looked at so often, and renewed when half of its life is over. In milliseconds. */
const LOOK_MS = 60_000
/** A control plane that does not answer for so long is left for another, in milliseconds. */
const RENEW_MS = 10_000

/** A node's identity, as a file that is renewed in time. */
export class NodeIdentity {
  #credential: ClusterCredential
  readonly #file: string
  readonly #servers: readonly string[]
  readonly #timer: NodeJS.Timeout

  static open(
    file: string,
    servers: readonly string[],
    notice: (text: string) => void,
  ): { ok: true; identity: NodeIdentity } | { ok: false; message: string } {
    const read = readCredential(file)
    return read.ok ? { ok: true, identity: new NodeIdentity(file, servers, read.credential, notice) } : read
  }

  private constructor(
    file: string,
    servers: readonly string[],
    credential: ClusterCredential,
    notice: (text: string) => void,
  ) {
    this.#file = file
    this.#servers = servers
    this.#credential = credential
    const look = () => {
      if (isHalfOver(credential.certificate)) {
        this.#renew().catch((error) => notice(`the node's certificate was not renewed: ${error.message}`))
      }
    }
    this.#timer = setInterval(look, LOOK_MS)
    look()
  }

  get credential(): ClusterCredential {
    return this.#credential
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** By the control plane that leads. */
  async #renew(): Promise<void> {
    const { certificate, key, roots } = this.#credential
    const asked = await newRequest()
    const problems: string[] = []
    for (const baseUrl of this.#servers) {
      const nodeOptions = { cert: certificate, key, ca: roots, checkServerIdentity: checkControlPlane }
      const request = { certificateRequest: asked.request }
      try {
        const { certificates } = await callOnce(baseUrl, nodeOptions, (service) =>
          service.renew(request, { timeoutMs: RENEW_MS }),
        )
        this.#credential = { ...this.#credential, certificate: certificates, key: asked.key }
        return writeCredential(this.#file, this.#credential)
      } catch (error) {
        problems.push(`${baseUrl}: ${(error as Error).message}`)
      }
    }
    throw new Error(problems.join('; '))
  }
}

/** Trades a join token for an identity, which is written to the file. Gives what went wrong, or null. */
export async function joinCluster(
  file: string,
  servers: readonly string[],
  token: string,
  name: string,
): Promise<string | null> {
  const rootHash = rootHashOf(token)
  if (rootHash === null) return '--token: that is no join token: make one with `mayfly token`'
  const problems: string[] = []
  for (const server of servers) {
    try {
      const roots = await rootOf(server, rootHash)
      const { key, request } = await newRequest()
      const joined = await callOnce(
        server,
        { ca: roots, checkServerIdentity: checkControlPlane },
        (service) => service.join({ token, name, certificateRequest: request }),
      )
      writeCredential(file, { servers: [...servers], roots, certificate: joined.certificates, key })
      return null
    } catch (error) {
      problems.push(`${server}: ${(error as Error).message}`)
    }
  }
  return `the node could not join: ${problems.join('; ')}`
}

/** Calls over a connection that ends with the call: each that stays takes memory of the control plane. */
async function callOnce<Answer>(
  baseUrl: string,
  nodeOptions: SecureClientSessionOptions,
  call: (service: Client<typeof NodeService>) => Promise<Answer>,
): Promise<Answer> {
  const sessionManager = new Http2SessionManager(baseUrl, {}, nodeOptions)
  const transport = createConnectTransport({ baseUrl, httpVersion: '2', sessionManager })
  try {
    return await call(createClient(NodeService, transport))
  } finally {
    sessionManager.abort()
  }
}

/** The root certificate that a control plane shows, once it is the one that the token names: nothing is said to another. */
function rootOf(server: string, rootHash: string): Promise<string> {
  const { hostname, port } = new URL(server)
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port || 443),
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
    })
    socket.setTimeout(5_000, () => socket.destroy(new Error('it does not answer')))
    socket.on('error', reject)
    socket.on('secureConnect', () => {
      let certificate = socket.getPeerCertificate(true)
      while (certificate.issuerCertificate && certificate.issuerCertificate !== certificate)
        certificate = certificate.issuerCertificate
      socket.destroy()
      const pem = new X509Certificate(certificate.raw).toString()
      if (certificateHash(pem) === rootHash) resolve(pem)
      else reject(new Error('it is not the control plane for which the token was made'))
    })
  })
}

function isHalfOver(pem: string): boolean {
  const { validFrom, validTo } = new X509Certificate(pem)
  const from = Date.parse(validFrom)
  return Date.now() > from + (Date.parse(validTo) - from) / 2
}
