import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openSqliteStore } from '../store/sqlite-store.ts'
import { JoinTokens, rootHashOf } from './join-tokens.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-tokens-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const ROOT = '-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n'

test('a token lets one node join, once, before it expires', async () => {
  let now = 1_000_000
  const store = await openSqliteStore(join(folder, 'a.sqlite'))
  const tokens = new JoinTokens(store, ROOT, () => now)
  const made = async () => {
    const created = await tokens.create('node', 60_000)
    assert.ok(created.ok)
    return created.token
  }
  const token = await made()
  assert.match(rootHashOf(token)!, /^[0-9a-f]{64}$/)
  const atOnce = await Promise.all([1, 2, 3, 4].map(() => tokens.redeem(token)))
  assert.deepEqual(
    atOnce.filter(({ ok }) => ok),
    [{ ok: true, role: 'node' }],
  )
  assert.equal((await tokens.redeem(token)).ok, false)

  const late = await made()
  now += 60_000
  assert.equal((await tokens.redeem(late)).ok, false)
  await made()
  assert.equal((await store.list('join-tokens/')).entries.length, 1)

  const forged = (await made()).replace(/\.[0-9A-Za-z_-]{43}\./, `.${'A'.repeat(43)}.`)
  for (const bad of ['', 'mayfly-join', forged, `${forged}0`])
    assert.equal((await tokens.redeem(bad)).ok, false)
  await store.close()
})
