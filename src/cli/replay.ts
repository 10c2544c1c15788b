import type { Command } from 'commander'
import type { StartMesh } from '../study/mesh.ts'
import { type RawReplayOptions, REPLAY_FLAGS, replayOptions } from '../study/options.ts'
import { formatProblem, type Problem } from '../study/problem.ts'
import { runReplay } from '../study/replay.ts'
import { CONFIG_OPTION } from './cluster-client.ts'
import { loadFolder } from './load-folder.ts'
import { meshUsage } from './mesh-usage.ts'
import { ONE_NODE } from './node-plans.ts'
import { fail } from './output.ts'
import { replayedCluster } from './replay-cluster.ts'
import { startMesh } from './running-mesh.ts'

export function addReplay(program: Command): void {
  const command = program
    .command('replay')
    .description(
      'drive a whole mesh with a production trace (Azure Functions) and report slowdown, failures and cost',
    )
  for (const { flags, description, default: value } of REPLAY_FLAGS) command.option(flags, description, value)
  command.option(...CONFIG_OPTION)
  command.addHelpText('after', EXAMPLES).action(replay)
}

const EXAMPLES = `
Example:
  mayfly replay --trace traces/azure2019-h08-100 --minutes 2 --out out/
  mayfly replay --cluster --trace traces/azure2019-h08-200 --policies nine`

async function replay({ config, ...raw }: RawReplayOptions & { config?: string }): Promise<void> {
  const options = replayOptions(raw)
  if (!options.ok) refuse(options.problems)
  if (config !== undefined && !options.value.cluster) fail('--config is for --cluster', 2)
  const cluster = options.value.cluster ? await replayedCluster(config) : null
  const result = await runReplay(options.value, cluster?.start ?? startMeshFor, undefined, cluster?.place)
  if (result.kind === 'refused') refuse(result.problems)
  console.log(result.text)
  process.exitCode = result.exitCode
}

const startMeshFor: StartMesh = async (manifests, { mesh: mode, nodes = 1 }) => {
  const loaded = await loadFolder([manifests])
  if (!loaded.ok) fail(`the replay's own manifests are not valid:\n${loaded.errors.join('\n')}`)
  const notice = (text: string) => process.stderr.write(`mayfly: ${text}\n`)
  const kind = mode === 'on' ? 'mesh' : 'bare'
  const started = await startMesh(loaded.mesh, { host: '127.0.0.1', port: 0 }, kind, notice, {
    ...ONE_NODE,
    // The baseline has no sidecars that could speak for anybody.
    nodes: mode === 'on' ? nodes : 1,
  })
  if (!started.ok) fail(started.message)
  const { running } = started
  return {
    gateway: running.mesh.gateway,
    host: (key) => `${key.split('/').reverse().join('.')}.${loaded.mesh.config.domain}`,
    usage: () => meshUsage(running),
    stop: () => running.mesh.stop(),
  }
}

function refuse(problems: readonly Problem[]): never {
  return fail(problems.map(formatProblem).join('\n       '), 2)
}
