// The least that an engine on node:net could do: each connection's bytes are passed on over one of its own, read by nobody. What
// it costs is the part of a request that no sidecar, however quick, can save.

import { readFileSync, writeFileSync } from 'node:fs'
import { connect as connectPlain, createServer as createPlainServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { type ConnectionOptions, connect as connectTls, createServer as createTlsServer } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { CertificateAuthority } from '../src/control/certificate-authority.ts'
import { type Child, type Children, freePort, listening } from './children.ts'
import { CALLEE, CALLER, principalOf } from './nine-policies.ts'
import { processTree } from './process-tree.ts'

export type Relay = { readonly port: number; readonly children: readonly Child[] }

/** One process between the clients and the upstream. */
export async function startRelay(children: Children, upstream: number): Promise<Relay> {
  const port = await freePort()
  const child = await start(children, 'relay', { port, target: upstream })
  return { port, children: [child] }
}

/** Two of them, with mutual TLS 1.3 in between. */
export async function startRelayPair(children: Children, upstream: number): Promise<Relay> {
  const authority = await CertificateAuthority.open()
  const between = await freePort()
  const port = await freePort()
  const identity = async (name: string): Promise<string> => {
    const { chain, key } = await authority.issue(principalOf(name))
    const file = join(children.folder, `relay-${name}.json`)
    writeFileSync(file, JSON.stringify({ cert: chain, key, ca: authority.root }), { mode: 0o600 })
    return file
  }
  const callee = await start(children, 'relay-callee', {
    port: between,
    target: upstream,
    serverIdentity: await identity(CALLEE),
  })
  const caller = await start(children, 'relay-caller', {
    port,
    target: between,
    clientIdentity: await identity(CALLER),
  })
  return { port, children: [caller, callee] }
}

/** Its processes, by number. */
export function processesOf({ children }: Relay): number[] {
  return children.flatMap(({ pid }) => processTree(pid))
}

type Ends = { port: number; target: number; serverIdentity?: string; clientIdentity?: string }

async function start(children: Children, name: string, ends: Ends): Promise<Child> {
  const child = children.start(name, process.execPath, [fileURLToPath(import.meta.url), JSON.stringify(ends)])
  await listening(child, ends.port)
  return child
}

function relay({ port, target, serverIdentity, clientIdentity }: Ends): void {
  const identityIn = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as object
  const client =
    clientIdentity === undefined ? null : { ...identityIn(clientIdentity), minVersion: 'TLSv1.3' as const }
  const buffer = Buffer.allocUnsafe(64 * 1024)
  const serve = (from: Socket) => {
    const onread = {
      buffer,
      callback(length: number) {
        from.write(Buffer.from(buffer.subarray(0, length)))
        return true
      },
    }
    const address = { host: '127.0.0.1', port: target, onread }
    const to =
      client === null
        ? connectPlain(address)
        : connectTls({ ...client, ...address, checkServerIdentity: () => undefined } as ConnectionOptions)
    to.setNoDelay(true)
    from.on('data', (bytes) => to.write(bytes))
    for (const [one, other] of [
      [from, to],
      [to, from],
    ] as const) {
      one.on('error', () => one.destroy())
      one.on('close', () => other.destroy())
    }
  }
  if (serverIdentity === undefined) createPlainServer({ noDelay: true }, serve).listen(port, '127.0.0.1')
  else
    createTlsServer(
      { ...identityIn(serverIdentity), minVersion: 'TLSv1.3', requestCert: true, noDelay: true },
      serve,
    )
      .on('tlsClientError', () => {})
      .listen(port, '127.0.0.1')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) relay(JSON.parse(process.argv[2]!))
