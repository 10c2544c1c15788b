import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KINDS } from '../api/resource.ts'
import { readKind } from './kinds.ts'

const named = (word: string) => readKind(word)?.name ?? null

test('a kind is named in singular and plural, in any case and by its short name', () => {
  for (const [word, name] of [
    ['functions', 'functions'],
    ['function', 'functions'],
    ['Node', 'nodes'],
    ['policies', 'policies'],
    ['policy', 'policies'],
    ['identity', 'identities'],
    ['Service', 'Service'],
    ['ksvc', 'Service'],
    ['authorizationpolicies', 'AuthorizationPolicy'],
    ['AuthorizationPolicy', 'AuthorizationPolicy'],
    ['vs', 'VirtualService'],
    ['telemetry', 'Telemetry'],
    ['telemetries', 'Telemetry'],
    ['nonsense', null],
    ['', null],
  ] as const) {
    assert.equal(named(word), name, word)
  }
})

test('no two kinds share a word', () => {
  for (const kind of Object.keys(KINDS)) assert.equal(named(kind.toLowerCase()), kind)
})
