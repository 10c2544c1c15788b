import { InvalidArgumentError, Option } from 'commander'
import type { Isolation } from '../runtime/isolation/isolation.ts'
import { fail } from './output.ts'

const MODES = ['auto', 'on', 'off'] as const

export type IsolateMode = (typeof MODES)[number]

/** `auto`: where all is there that it needs. */
export function isolateOption(byDefault: IsolateMode): Option {
  return new Option(
    '--isolate <mode>',
    'give each instance a network, a user and limits of its own: on, off, or auto (where this machine can; Linux, as root)',
  )
    .default(byDefault)
    .argParser((value) => {
      const mode = MODES.find((known) => known === value)
      if (mode === undefined) throw new InvalidArgumentError(`expected ${MODES.join(', ')}`)
      return mode
    })
}

/** Makes ready for isolation; null: instances are plain processes, which `notice` is told where that was not asked for. */
export async function isolationFor(
  mode: IsolateMode,
  notice: (text: string) => void,
): Promise<Isolation | null> {
  if (mode === 'off') return null
  const { openIsolation } = await import('../runtime/isolation/isolation.ts')
  const opened = await openIsolation({ notice })
  if (opened.ok) return opened.isolation
  const missing = opened.missing.join('; ')
  if (mode === 'on') fail(`--isolate on: this machine lacks what isolation needs: ${missing}`)
  notice(
    `instances are NOT isolated: they are processes of this user, can reach whatever it can, and resources.limits are not enforced. What is missing: ${missing}. (--isolate off: without this warning)`,
  )
  return null
}
