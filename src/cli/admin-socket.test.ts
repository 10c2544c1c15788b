import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { listSockets, ownSocket, socketFolder } from './admin-socket.ts'

const before = process.env.XDG_RUNTIME_DIR
const uid = process.getuid!()
let base: string
let folder: string

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'mayfly-socket-'))
  process.env.XDG_RUNTIME_DIR = base
  folder = join(base, `mayfly-${uid}`)
})
afterEach(() => {
  if (before === undefined) delete process.env.XDG_RUNTIME_DIR
  else process.env.XDG_RUNTIME_DIR = before
  rmSync(base, { recursive: true, force: true })
})

test('the folder is made for its owner alone, and made so where it was open', () => {
  assert.deepEqual(socketFolder(), { ok: true, value: folder })
  assert.equal(statSync(folder).mode & 0o777, 0o700)
  chmodSync(folder, 0o777)
  socketFolder()
  assert.equal(statSync(folder).mode & 0o777, 0o700)
})

test('a link or a file in its place is refused', () => {
  mkdirSync(join(base, 'theirs'))
  symlinkSync('theirs', folder)
  const linked = socketFolder()
  assert.ok(!linked.ok && /belongs to somebody else/.test(linked.message))
  rmSync(folder)
  writeFileSync(folder, '')
  assert.equal(socketFolder().ok, false)
})

test('a path too long for a socket is refused with what to do', () => {
  process.env.XDG_RUNTIME_DIR = join(base, 'a'.repeat(90))
  const socket = ownSocket()
  assert.ok(!socket.ok && /too long for a socket .* XDG_RUNTIME_DIR/.test(socket.message))
})

test('what an earlier process with the same id left is removed; other files are no sockets', () => {
  const socket = ownSocket()
  assert.ok(socket.ok)
  writeFileSync(socket.value, 'stale')
  writeFileSync(join(folder, 'notes.sock'), '')
  assert.deepEqual(listSockets(folder), [process.pid])
  ownSocket()
  assert.deepEqual(listSockets(folder), [])
})
