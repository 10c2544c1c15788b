import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

/** How a client or node finds and proves itself to a control plane. Certificates and key are PEM. */
export interface ClusterCredential {
  servers: string[]
  /** What the control plane's certificate is verified by. */
  roots: string
  certificate: string
  key: string
}

/** The file that clients read: MAYFLY_CONFIG, else the user's own configuration. */
export function configFile(): string {
  if (process.env.MAYFLY_CONFIG) return process.env.MAYFLY_CONFIG
  return join(process.env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'mayfly', 'config.json')
}

export function readCredential(
  file: string,
): { ok: true; credential: ClusterCredential } | { ok: false; message: string } {
  try {
    const read: unknown = JSON.parse(readFileSync(file, 'utf8'))
    if (isCredential(read)) return { ok: true, credential: read }
    return {
      ok: false,
      message: `${file}: expected servers, roots, certificate and key, as a control plane writes them`,
    }
  } catch (error) {
    return { ok: false, message: `${file}: ${(error as Error).message}` }
  }
}

/** Writes the file for its owner alone; a reader sees all of it or nothing. */
export function writeCredential(file: string, credential: ClusterCredential): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const partial = `${file}.${process.pid}.tmp`
  writeFileSync(partial, `${JSON.stringify(credential, null, 2)}\n`, { mode: 0o600, flush: true })
  renameSync(partial, file)
}

function isCredential(value: unknown): value is ClusterCredential {
  if (typeof value !== 'object' || value === null) return false
  const { servers, roots, certificate, key } = value as Record<string, unknown>
  const texts = [roots, certificate, key].every((text) => typeof text === 'string' && text !== '')
  return (
    texts &&
    Array.isArray(servers) &&
    servers.length > 0 &&
    servers.every((one) => /^https:\/\//.test(String(one)))
  )
}
