import { availableParallelism, totalmem } from 'node:os'
import { toResources } from '../api/resources.ts'

export type NodeCapacity = { ok: true; cpus: number; memoryBytes: number } | { ok: false; message: string }

/** What instances on this machine may ask for together: all that this process may use but what is kept for others. */
export function nodeCapacity(reserveCpu: string, reserveMemory: string): NodeCapacity {
  const { requests } = toResources({ requests: { cpu: reserveCpu, memory: reserveMemory } })
  if (requests.cpuMillis === null) return wrong('--reserve-cpu', reserveCpu, '500m or 1')
  if (requests.memoryBytes === null) return wrong('--reserve-memory', reserveMemory, '512Mi or 1Gi')
  const cpus = availableParallelism() - requests.cpuMillis / 1_000
  // A control group's bound counts as much as what the machine has; without one this is as good as infinite.
  const memoryBytes = Math.min(totalmem(), process.constrainedMemory() || totalmem()) - requests.memoryBytes
  if (cpus < 0)
    return {
      ok: false,
      message: `--reserve-cpu ${reserveCpu} is more than the ${availableParallelism()} there are`,
    }
  if (memoryBytes < 0)
    return { ok: false, message: `--reserve-memory ${reserveMemory} is more than this machine has` }
  return { ok: true, cpus, memoryBytes }
}

function wrong(option: string, given: string, example: string): NodeCapacity {
  return { ok: false, message: `${option} ${given}: expected a quantity such as ${example}` }
}
