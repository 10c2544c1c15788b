import { MOST_PRESTARTED } from '../runtime/prestarted.ts'
import { fail } from './output.ts'

/** Reads --prestarted; a wrong one ends the command with status 2. None are started where instances are isolated. */
export function readPrestarted(text: string, isolated: boolean, notice: (text: string) => void): number {
  const count = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN
  if (!(count <= MOST_PRESTARTED))
    fail(`--prestarted ${text}: expected a number from 0 to ${MOST_PRESTARTED}`, 2)
  if (count === 0 || !isolated) return count
  notice(
    `--prestarted ${text}: nothing is started ahead, since instances are isolated here (--isolate): an instance's process begins inside`,
  )
  return 0
}
