import type { FromNode } from '../proto/mayfly/v1/nodes_pb.js'
import { engineProblem, instanceProblem } from './hello-problem.ts'

/** Characters of a reason that are kept. */
const MOST_REASON = 1_000
const MOST_URL = 256

/** What is wrong with something that a node says after its first message, or null; `node` is its name. */
export function reportProblem(node: string, { what }: FromNode): string | null {
  switch (what.case) {
    case 'engineUp':
      return engineProblem(node, what.value)
    case 'instanceState':
      return instanceProblem(what.value)
    case 'startFailed':
      return Number.isFinite(what.value.retryAt) ? null : 'a start is tried again at no time'
    case 'egressOpened': {
      const { url } = what.value
      const isUrl = url === '' || (url.length <= MOST_URL && url.startsWith('http://') && URL.canParse(url))
      return isUrl ? null : 'an egress address is none'
    }
    default:
      return null
  }
}

/** What a node says why, for people. */
export function short(text: string): string {
  return text.slice(0, MOST_REASON)
}
