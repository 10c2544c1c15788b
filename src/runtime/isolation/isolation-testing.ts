// What tests of isolation share: one isolation for a file, and programs that run inside.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { after } from 'node:test'
import type { Launch } from '../launch.ts'
import type { Compartment } from './compartment.ts'
import { type Isolation, openIsolation } from './isolation.ts'

const opened = await openIsolation({ notice: (text) => process.stderr.write(`${text}\n`) })

/** For tests that need it: why they are left out on this machine. */
export const WHERE_ISOLATED = opened.ok
  ? { timeout: 120_000 }
  : { skip: `this machine lacks what isolation needs: ${opened.missing.join('; ')}` }

after(async () => {
  if (opened.ok) await opened.isolation.close()
})

export function isolation(): Isolation {
  if (!opened.ok) throw new Error('not isolated')
  return opened.isolation
}

export async function compartment(): Promise<Compartment> {
  const made = await isolation().make()
  if (!made.ok) throw new Error(made.problem)
  return made.compartment
}

export interface Ran {
  stdout: string
  stderr: string
  /** As an instance's end is told. */
  how: string
}

/** Starts a program as the compartment's instance would be, and resolves when it has ended. */
export function inside(
  within: Compartment,
  command: string,
  args: string[] = [],
  more: Partial<Launch> = {},
): Promise<Ran> {
  return started(within, command, args, more).ran
}

export function started(
  within: Compartment,
  command: string,
  args: string[] = [],
  more: Partial<Launch> = {},
) {
  const entered = within.enter({
    command,
    args,
    cwd: '/',
    environment: { PATH: '/usr/local/bin:/usr/bin:/bin' },
    files: [command],
    announcesPort: false,
    ...more,
  })
  if (!entered.ok) throw new Error(entered.reason)
  const { launch } = entered
  const child =
    launch.waiting ??
    spawn(launch.command, launch.args, {
      cwd: launch.cwd,
      env: launch.environment,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    })
  child.stdin!.on('error', () => {}).end(launch.input)
  const said = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]!.setEncoding('utf8').on('data', (text: string) => {
      said[name] += text
    })
  }
  child.once('exit', () => {
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {
      // Nobody is left.
    }
  })
  const ran = once(child, 'close').then(([code, signal]): Ran => {
    const how = signal ? `was killed by ${signal}` : `exited with status ${code}`
    return { ...said, how: launch.explain!(how) }
  })
  const wrote = async (pattern: RegExp) => {
    while (!pattern.test(said.stdout)) await Promise.race([once(child.stdout!, 'data'), ran])
  }
  return { child, ran, wrote }
}

/** Runs a module's text in Node inside, and gives what it prints as JSON. */
export async function evaluate(within: Compartment, text: string): Promise<unknown> {
  const ran = await inside(within, process.execPath, ['--no-warnings', '--input-type=module', '-e', text])
  try {
    return JSON.parse(ran.stdout)
  } catch {
    throw new Error(`${ran.how}: ${ran.stdout}${ran.stderr}`)
  }
}
