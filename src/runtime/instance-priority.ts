import { setPriority } from 'node:os'

/** As of nice(1): an engine, which all functions need, and the control plane come first where CPUs are short; nothing else changes. */
const NICE = 5

/** Gives a process of a function, which has just been started, its priority; threads that it starts have the same. */
export function giveInstancePriority(pid: number): void {
  try {
    setPriority(pid, NICE)
  } catch {
    // It has ended already, or the system has no such thing.
  }
}
