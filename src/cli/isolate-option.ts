import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Isolation } from '../runtime/isolation/isolation.ts'
import { fail } from './output.ts'

const MODES = ['auto', 'on', 'off'] as const
/** Ids of users end before 4,294,967,295; those below 65,536 belong to the system and its people. */
const FIRST_USER = { least: 65_536, most: 4_294_000_000, byDefault: 1_900_000_000 }

export interface IsolateOptions {
  isolate?: (typeof MODES)[number]
  isolateUsers?: number
}

/** `auto`: where all is there that it needs. */
export function addIsolateOptions(command: Command, byDefault: (typeof MODES)[number]): Command {
  return command
    .addOption(
      new Option(
        '--isolate <mode>',
        'give each instance a network, a user and limits of its own: on, off, or auto (where this machine can; Linux, as root)',
      )
        .default(byDefault)
        .argParser((value) => {
          const mode = MODES.find((known) => known === value)
          if (mode === undefined) throw new InvalidArgumentError(`expected ${MODES.join(', ')}`)
          return mode
        }),
    )
    .addOption(
      new Option(
        '--isolate-users <first>',
        'the first of the 65,536 user ids that isolated instances of this machine have; the same for all nodes on it',
      )
        .default(FIRST_USER.byDefault)
        .argParser((value) => {
          const first = /^\d{1,10}$/.test(value) ? Number(value) : -1
          if (first >= FIRST_USER.least && first <= FIRST_USER.most) return first
          throw new InvalidArgumentError(`expected a number from ${FIRST_USER.least} to ${FIRST_USER.most}`)
        }),
    )
}

/** Makes ready for isolation; null: instances are plain processes, which `notice` is told where that was not asked for. */
export async function isolationFor(
  { isolate, isolateUsers }: IsolateOptions,
  notice: (text: string) => void,
): Promise<Isolation | null> {
  if (isolate === undefined || isolate === 'off') return null
  const { openIsolation } = await import('../runtime/isolation/isolation.ts')
  const opened = await openIsolation({
    notice,
    ...(isolateUsers !== undefined && { firstUser: isolateUsers }),
  })
  if (opened.ok) return opened.isolation
  const missing = opened.missing.join('; ')
  if (isolate === 'on') fail(`--isolate on: this machine lacks what isolation needs: ${missing}`)
  notice(
    `instances are NOT isolated: they are processes of this user, can reach whatever it can, and resources.limits are not enforced. What is missing: ${missing}. (--isolate off: without this warning)`,
  )
  return null
}
