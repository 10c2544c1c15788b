import type { Entry, Event } from '../store/store.ts'
import { type KeptResource, readStored } from './kept-resource.ts'
import type { ResourceChange } from './resource-change.ts'

/**
 * What entries that somebody wrote to the store mean for the resources that are kept: how they are to be, and what changes by it.
 * Throws a StoreError where an entry cannot be read.
 */
export function storeDifference(
  before: ReadonlyMap<string, KeptResource>,
  events: readonly Event[],
): { kept: ReadonlyMap<string, KeptResource>; changes: ResourceChange[] } {
  const isNews = ({ key, entry }: Event) => (before.get(key)?.modified ?? 0) !== (entry?.modified ?? 0)
  const news = events.filter(isNews)
  if (news.length === 0) return { kept: before, changes: [] }
  const kept = new Map(before)
  const touched = new Set(news.map(({ key }) => key))
  const others = Array.from(before).flatMap(([key, { resource }]) => (touched.has(key) ? [] : [resource]))
  const written = news.flatMap(({ entry }): Entry[] => (entry ? [entry] : []))
  for (const [key, resource] of readStored(written, others)) kept.set(key, resource)
  for (const { key, entry } of news) if (entry === null) kept.delete(key)
  const changes = news.map(({ key }): ResourceChange => {
    const was = before.get(key) ?? null
    const is = kept.get(key) ?? null
    const action = is === null ? 'deleted' : was === null ? 'created' : 'configured'
    return { key, action, before: was, after: is }
  })
  return { kept, changes }
}
