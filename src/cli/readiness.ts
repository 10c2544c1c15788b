import type { FunctionStatus, InstanceStatus } from '../control/mesh-status.ts'
import { answered, type MeshSource } from './mesh-source.ts'

/** Where a function's newest revision stands. */
export interface Rollout {
  /** Its instances that are ready, and how many are to be. */
  ready: number
  desired: number
  revision: string
  /** Instances of revisions before it, that are there still. */
  earlier: number
  /** Why it does not start; null where nothing is wrong. */
  failure: string | null
}

/** Where the newest revision of a function stands; null: there is no such function. */
export async function rolloutOf(source: MeshSource, key: string): Promise<Rollout | null> {
  const functions = answered(await source.status<FunctionStatus[]>('functions'))
  const fn = functions.find(({ namespace, name }) => `${namespace}/${name}` === key)
  if (!fn) return null
  const all = answered(await source.status<InstanceStatus[]>('instances'))
  const instances = all.filter((one) => one.function === key)
  const current = instances.filter(({ revision }) => revision === fn.revision)
  return {
    ready: current.filter(({ state }) => state === 'ready').length,
    desired: fn.desired,
    revision: fn.revision,
    earlier: instances.length - current.length,
    failure: fn.failure,
  }
}

/** All that are to be there are ready, and none of an earlier revision is left. Where none is to be, one starts when it is asked for. */
export function isRolledOut({ ready, desired, earlier, failure }: Rollout): boolean {
  return failure === null && ready >= desired && earlier === 0
}

export function rolloutText({ ready, desired, revision, earlier, failure }: Rollout): string {
  const left = earlier === 0 ? '' : `, ${earlier} of earlier revisions are left`
  return `${revision}: ${ready} of ${desired} ready${left}${failure === null ? '' : `; it does not start: ${failure}`}`
}
