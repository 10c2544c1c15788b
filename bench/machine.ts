import { readFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { cpuTime, processTree } from './process-tree.ts'

/** How much of the machine's time went to others while a bench ran. */
export type Noise = {
  /** CPUs, on average, that processes outside this bench kept busy. */
  readonly others: number
  /** Share of the time in which the hypervisor withheld a CPU that had work. */
  readonly stolen: number
}

/** Starts watching; the function returned tells the noise since then. Undefined where there is no /proc. */
export function watchNoise(): () => Noise | undefined {
  const before = reading()
  return () => {
    const now = reading()
    if (before === undefined || now === undefined) return undefined
    const elapsed = now.at - before.at
    const busy = now.busy - before.busy
    const own = now.own - before.own
    return {
      others: Math.max(0, (busy - own) / elapsed),
      stolen: (now.stolen - before.stolen) / (elapsed * availableParallelism()),
    }
  }
}

/** The machine in one line. */
export function machineText(): string {
  return `${availableParallelism()} x ${cpus()[0]?.model ?? 'unknown CPU'}, ${process.platform}, Node ${process.version}`
}

export function noiseText(noise: Noise | undefined): string {
  if (noise === undefined) return 'noise of the machine: unknown here'
  const text = `others kept ${noise.others.toFixed(2)} CPUs busy, ${(noise.stolen * 100).toFixed(1)}% stolen`
  return noise.others > 0.1 || noise.stolen > 0.02 ? `NOISY: ${text}` : text
}

function reading(): { at: number; busy: number; stolen: number; own: number } | undefined {
  let line: string
  try {
    line = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0]!
  } catch {
    return undefined
  }
  // cpu user nice system idle iowait irq softirq steal, in ticks of 10 ms.
  const [user, nice, system, , , irq, softirq, steal] = line.split(/\s+/).slice(1).map(Number) as number[]
  const tick = 1e7
  return {
    at: performance.now() * 1e6,
    busy: (user! + nice! + system! + irq! + softirq!) * tick,
    stolen: steal! * tick,
    own: cpuTime(processTree(process.pid)),
  }
}
