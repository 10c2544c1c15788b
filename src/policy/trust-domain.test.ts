import assert from 'node:assert/strict'
import { test } from 'node:test'
import { expandTrustDomains } from './trust-domain.ts'

const mesh = { trustDomain: 'td1', aliases: ['td2'] }

test('a principal of the mesh stands for that workload under every name of the mesh', () => {
  const both = ['td1/ns/foo/sa/bar', 'td2/ns/foo/sa/bar']
  for (const principal of ['td1/ns/foo/sa/bar', 'td2/ns/foo/sa/bar', 'cluster.local/ns/foo/sa/bar']) {
    assert.deepEqual(expandTrustDomains([principal], mesh), both, principal)
  }
  assert.deepEqual(expandTrustDomains([both[0]!, both[1]!], mesh), both)
})

test('all other principals stand for themselves', () => {
  for (const principal of [
    '*',
    '*/ns/foo/sa/bar',
    'td3/ns/foo/sa/bar',
    'sa/bar',
    'td1/ns/foo/*',
    '*/sa/bar',
  ]) {
    assert.deepEqual(expandTrustDomains([principal], mesh), [principal])
  }
})

test('a suffix that fits a trust domain is kept for it and replaced for the others', () => {
  assert.deepEqual(expandTrustDomains(['*1/ns/foo/sa/bar'], mesh), ['*1/ns/foo/sa/bar', 'td2/ns/foo/sa/bar'])
  assert.deepEqual(expandTrustDomains(['*d1/ns/a/sa/b'], { trustDomain: 'td1', aliases: [] }), [
    '*d1/ns/a/sa/b',
  ])
})
