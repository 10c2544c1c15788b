import type { Entry, Event } from '../store/store.ts'
import { compactKept, readStored } from './kept-resource.ts'
import type { ResourceChange } from './resource-change.ts'
import type { ResourceDraft } from './resource-draft.ts'

/**
 * What entries that somebody wrote to the store mean for the resources that are kept; the draft takes it over. Throws a StoreError
 * where an entry cannot be read.
 */
export function storeDifference(draft: ResourceDraft, events: readonly Event[]): ResourceChange[] {
  const isNews = ({ key, entry }: Event) => (draft.get(key)?.modified ?? 0) !== (entry?.modified ?? 0)
  const news = events.filter(isNews)
  const deleted = news.flatMap(({ key, entry }): ResourceChange[] => {
    const before = draft.get(key)
    return entry === null && before ? [{ key, action: 'deleted', before, after: null }] : []
  })
  draft.take(deleted)
  const entries = news.flatMap(({ entry }): Entry[] => (entry ? [entry] : []))
  const written = [...readStored(entries, (read) => draft.beside(read))].map(
    ([key, after]): ResourceChange => {
      const before = draft.get(key) ?? null
      return { key, action: before ? 'configured' : 'created', before, after: compactKept(after) }
    },
  )
  draft.take(written)
  return [...deleted, ...written]
}
