import { ARRIVALS, type Arrival } from './arrivals.ts'
import { WORK, type Work } from './load-protocol.ts'
import { MESH, type MeshMode } from './mesh.ts'
import { POLICIES, type Policies } from './nine-policies.ts'
import type { Checked, Problem } from './problem.ts'

/** What `mayfly replay` was asked for, checked. */
export interface ReplayOptions {
  readonly trace: string
  readonly minutes: number
  readonly functions: number | undefined
  readonly speedup: number
  readonly mesh: MeshMode
  /** Absent: 1, no division. */
  readonly nodes?: number
  /** A mesh over several machines that runs already. */
  readonly cluster?: boolean
  /** Absent: few. */
  readonly policies?: Policies
  readonly work: Work
  readonly arrival: Arrival
  readonly seed: number
  readonly concurrency: number
  readonly memory: boolean
  readonly out: string
}

/** The command's options as commander takes them: flags, what `--help` says, and the default. */
export const REPLAY_FLAGS: readonly {
  readonly flags: string
  readonly description: string
  readonly default?: string
}[] = [
  { flags: '--trace <dir>', description: 'folder with invocations.csv, durations.csv and memory.csv' },
  { flags: '--minutes <n>', description: "replay the trace's first N minutes", default: '2' },
  {
    flags: '--functions <n>',
    description: 'replay the first N functions of invocations.csv; all by default',
  },
  {
    flags: '--speedup <x>',
    description:
      'divide the times between invocations by X; execution times stay as they are, so X times as many run at once',
    default: '1',
  },
  {
    flags: '--mesh <mode>',
    description: 'on, or off: gateway and instances alone, no sidecar (the baseline)',
    default: 'on',
  },
  {
    flags: '--nodes <n>',
    description:
      'divide the mesh into nodes that speak mutual TLS: the gateway on one of its own, instances on the others',
  },
  {
    flags: '--cluster',
    description:
      'drive the mesh whose control plane --config or MAYFLY_CONFIG names, through the gateway of MAYFLY_GATEWAY or of `mayfly get nodes`; what is applied there is deleted afterwards',
  },
  {
    flags: '--policies <which>',
    description:
      'few: authorization, tracing and access log; nine: all that the mesh has on each function, with a token on each request',
  },
  {
    flags: '--work <kind>',
    description: 'how functions work for the asked time: sleep, or spin (CPU time of their own)',
    default: 'sleep',
  },
  {
    flags: '--arrival <process>',
    description:
      'gaps between invocations in a minute: exponential, uniform or equidistant; as in InVitro the first comes at its start',
    default: 'exponential',
  },
  {
    flags: '--seed <n>',
    description: 'the same seed draws the same arrivals and execution times',
    default: '42',
  },
  {
    flags: '--concurrency <n>',
    description:
      "requests that an instance takes at once (containerConcurrency); 1 as in the paper's studies, more needs fewer instances",
    default: '1',
  },
  { flags: '--memory', description: "let each invocation take the trace's memory while it works" },
  {
    flags: '--out <dir>',
    description: 'where manifests, invocations.csv, summary.json and summary.txt go',
    default: 'out',
  },
]

/** Raw values as the command line gives them: text, or numbers; absent ones take the default of REPLAY_FLAGS. */
export type RawReplayOptions = Readonly<Partial<Record<keyof ReplayOptions, unknown>>>

/** Checks the command's options; all that is wrong is said at once. */
export function replayOptions(raw: RawReplayOptions): Checked<ReplayOptions> {
  const problems: Problem[] = []
  for (const name of Object.keys(raw)) {
    if (!flagOf(name))
      problems.push({ code: 'study/option', field: `--${name}`, message: 'is not an option of replay' })
  }
  const options: ReplayOptions = {
    trace: text('trace'),
    minutes: number('minutes', 1, 1440),
    functions: raw.functions === undefined ? undefined : number('functions', 1, 1_000_000),
    speedup: number('speedup', 0.001, 1000, 'fraction'),
    mesh: choice('mesh', MESH),
    ...(raw.nodes !== undefined && { nodes: number('nodes', 1, 16) }),
    ...(raw.cluster !== undefined && { cluster: flag('cluster') }),
    ...(raw.policies !== undefined && { policies: choice('policies', POLICIES) }),
    work: choice('work', WORK),
    arrival: choice('arrival', ARRIVALS),
    seed: number('seed', 0, Number.MAX_SAFE_INTEGER),
    concurrency: number('concurrency', 1, 1000),
    memory: flag('memory'),
    out: text('out'),
  }
  if (options.cluster) {
    if (options.mesh === 'off') contradicts('mesh')
    if (options.nodes !== undefined) contradicts('nodes')
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, value: options }

  function given(name: keyof ReplayOptions): unknown {
    return raw[name] ?? flagOf(name)?.default
  }

  function contradicts(name: keyof ReplayOptions): void {
    const message = 'is for a mesh that the replay starts itself: leave it or --cluster out'
    problems.push({ code: 'study/option', field: `--${name}`, message })
  }

  function refuse(name: keyof ReplayOptions, expected: string): void {
    const value = given(name)
    problems.push({
      code: 'study/option',
      field: `--${name}`,
      message: `expected ${expected}, ${value === undefined ? 'but it is missing' : `got ${JSON.stringify(value)}`}`,
    })
  }

  function text(name: 'trace' | 'out'): string {
    const value = given(name)
    if (typeof value === 'string' && value !== '' && !value.includes('\0')) return value
    refuse(name, 'a folder')
    return ''
  }

  function number(
    name: keyof ReplayOptions,
    min: number,
    max: number,
    kind: 'whole' | 'fraction' = 'whole',
  ): number {
    const value = given(name)
    const form = kind === 'whole' ? /^\d{1,16}$/ : /^\d{1,16}(\.\d{1,16})?$/
    const parsed = form.test(String(value)) ? Number(value) : Number.NaN
    if (parsed >= min && parsed <= max) return parsed
    refuse(name, `a ${kind === 'whole' ? 'whole number' : 'number'} from ${min} to ${max}`)
    return min
  }

  function choice<T extends string>(name: keyof ReplayOptions, choices: readonly [T, ...T[]]): T {
    const found = choices.find((one) => one === given(name))
    if (found === undefined) refuse(name, `one of ${choices.join(', ')}`)
    return found ?? choices[0]
  }

  function flag(name: keyof ReplayOptions): boolean {
    const value = given(name) ?? false
    if (typeof value !== 'boolean') refuse(name, 'no value')
    return value === true
  }
}

function flagOf(name: string): (typeof REPLAY_FLAGS)[number] | undefined {
  return REPLAY_FLAGS.find(({ flags }) => flags.split(' ')[0] === `--${name}`)
}
