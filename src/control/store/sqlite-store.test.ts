import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, describe, test } from 'node:test'
import { openSqliteStore } from './sqlite-store.ts'
import { StoreError } from './store.ts'
import { storeContract } from './store-testing.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-store-'))
after(() => rmSync(folder, { recursive: true, force: true }))
let count = 0
const newFile = () => join(folder, `${count++}.sqlite`)

describe('a store in SQLite', () => storeContract(() => openSqliteStore(newFile())))

describe('its file', () => {
  test('holds what was committed when it is opened again', async () => {
    const file = newFile()
    const first = await openSqliteStore(file)
    const commit = await first.commit([{ kind: 'put', key: 'a', value: '1' }])
    await first.close()
    const second = await openSqliteStore(file)
    assert.ok(commit.ok)
    assert.equal((await second.get('a'))?.modified, commit.revision)
    const next = await second.commit([{ kind: 'put', key: 'b', value: '1' }])
    assert.ok(next.ok && next.revision === commit.revision + 1)
    await second.close()
  })

  test('is for one process alone', async () => {
    const file = newFile()
    const first = await openSqliteStore(file)
    await assert.rejects(
      openSqliteStore(file),
      (error) => error instanceof StoreError && error.code === 'locked',
    )
    await first.close()
    await (await openSqliteStore(file)).close()
  })

  test('of another program, of a newer Mayfly, or of rubbish is refused with what to do', async () => {
    const other = newFile()
    const database = new DatabaseSync(other)
    database.exec('CREATE TABLE songs (name TEXT)')
    database.close()
    await assert.rejects(openSqliteStore(other), /another program/)
    const newer = newFile()
    await (await openSqliteStore(newer)).close()
    const bumped = new DatabaseSync(newer)
    bumped.exec('PRAGMA user_version = 99')
    bumped.close()
    await assert.rejects(openSqliteStore(newer), /newer Mayfly/)
    const rubbish = newFile()
    writeFileSync(rubbish, 'x'.repeat(10_000))
    await assert.rejects(
      openSqliteStore(rubbish),
      (error) => error instanceof StoreError && error.code === 'damaged',
    )
    await assert.rejects(openSqliteStore(join(folder, 'none', 'a.sqlite')), /cannot open/)
  })

  test('is backed up as one state, and the backup opens', async () => {
    const store = await openSqliteStore(newFile())
    await store.commit([{ kind: 'put', key: 'a', value: '1' }])
    const copy = newFile()
    await store.backup(copy)
    await assert.rejects(store.backup(copy), /exists/)
    await store.commit([{ kind: 'put', key: 'b', value: '1' }])
    await store.close()
    const restored = await openSqliteStore(copy)
    assert.deepEqual(
      (await restored.list('')).entries.map(({ key }) => key),
      ['a'],
    )
    await restored.close()
  })

  test('has every acknowledged commit after a kill -9 in the middle of writing', async () => {
    const file = newFile()
    const program = `
      import { openSqliteStore } from ${JSON.stringify(new URL('./sqlite-store.ts', import.meta.url).href)}
      const store = await openSqliteStore(${JSON.stringify(file)})
      for (let i = 0; ; i++) {
        await Promise.all([0, 1, 2].map(async (j) => {
          const commit = await store.commit([{ kind: 'put', key: i + '/' + j, value: 'v' }, { kind: 'put', key: 'twin/' + i + '/' + j, value: 'v' }])
          if (commit.ok) process.stdout.write(i + '/' + j + '\\n')
        }))
      }`
    const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let acknowledged = ''
    child.stdout.on('data', (bytes) => {
      acknowledged += bytes
      if (acknowledged.split('\n').length > 60) child.kill('SIGKILL')
    })
    await once(child, 'close')
    const lines = acknowledged.split('\n').slice(0, -1)
    assert.ok(lines.length >= 60)
    const store = await openSqliteStore(file)
    const keys = new Set((await store.list('')).entries.map(({ key }) => key))
    for (const line of lines) assert.ok(keys.has(line) && keys.has(`twin/${line}`), line)
    for (const key of keys)
      assert.ok(key.startsWith('twin/') ? keys.has(key.slice(5)) : keys.has(`twin/${key}`))
    await store.close()
  })
})
