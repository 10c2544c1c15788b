import assert from 'node:assert/strict'
import {
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { folder } from '../testing.ts'
import { createCompiledCode } from './compiled-code.ts'

const AS_ROOT = process.getuid?.() === 0 ? {} : { skip: 'needs root: instances are users of their own' }
const USER = 1_999_999_000
const TAG = 'v26.10.0-x64-310b2ce3-'

/** `write` puts a file where the instance's Node would, as its user. */
function world(t: Parameters<typeof folder>[0]) {
  const path = folder(t)
  const counters = { compiledKept: 0, compiledDropped: 0 }
  const code = createCompiledCode(path, path, counters)
  const own = (user: number) => join(path, 'own', String(user), `${TAG}${user}`)
  const write = (user: number, name: string, content: string | Buffer) => {
    mkdirSync(own(user), { recursive: true })
    writeFileSync(join(own(user), name), content)
    chownSync(join(own(user), name), user, user)
  }
  return { path, code, counters, own, write }
}

test(
  'what the first instance compiled is there for the next ones of the revision, to be read',
  AS_ROOT,
  (t) => {
    const { path, code, counters, own, write } = world(t)
    assert.equal(code.folderFor('shop/cart cart-1', USER), join(path, 'own', String(USER)))
    assert.equal(statSync(join(path, 'own', String(USER))).uid, USER)
    write(USER, '0a1b2c3d', 'compiled')
    code.keep(USER)
    code.forget(USER)
    code.folderFor('shop/cart cart-1', USER + 1)
    assert.deepEqual(readdirSync(own(USER + 1)), ['0a1b2c3d'])
    assert.equal(readFileSync(join(own(USER + 1), '0a1b2c3d'), 'utf8'), 'compiled')
    for (const one of [join(path, 'own', String(USER + 1)), own(USER + 1), join(own(USER + 1), '0a1b2c3d')]) {
      const { uid, mode } = statSync(one)
      assert.equal(uid, 0)
      assert.equal(mode & 0o022, 0)
    }
    // An instance that may only read has nothing to be kept.
    code.keep(USER + 1)
    assert.equal(counters.compiledKept, 1)
    for (const other of ['shop/cart cart-2', 'shop/other cart-1']) {
      code.folderFor(other, USER + 2)
      assert.equal(existsSync(own(USER + 2)), false)
      code.forget(USER + 2)
    }
    assert.deepEqual(readdirSync(join(path, 'own')), [String(USER + 1)])
  },
)

test('what a hostile instance puts there is not followed, nor copied', AS_ROOT, (t) => {
  const { path, code, own, write } = world(t)
  const secret = join(folder(t, { secret: 'secret' }), 'secret')
  code.folderFor('f r', USER)
  write(USER, 'aaaa', 'good')
  write(USER, 'not-hex', 'bad')
  symlinkSync(secret, join(own(USER), 'bbbb'))
  mkdirSync(join(own(USER), 'cccc'))
  writeFileSync(join(own(USER), 'dddd'), 'of root')
  linkSync(join(own(USER), 'dddd'), join(own(USER), 'eeee'))
  code.keep(USER)
  code.folderFor('f r', USER + 1)
  assert.deepEqual(readdirSync(own(USER + 1)), ['aaaa'])
  // The folder itself is a link to one of root's.
  code.folderFor('g r', USER + 2)
  symlinkSync('/etc', own(USER + 2))
  code.keep(USER + 2)
  assert.deepEqual(readdirSync(join(path, 'kept')).length, 1)
  assert.ok(lstatSync(own(USER + 2)).isSymbolicLink())
})

test('what takes too much room is not kept, and the oldest makes room', AS_ROOT, (t) => {
  const { path, code, counters, write } = world(t)
  code.folderFor('large r', USER)
  for (let i = 0; i < 5; i++) write(USER, `a${i}`, Buffer.alloc(2 ** 20))
  code.keep(USER)
  assert.deepEqual(counters, { compiledKept: 0, compiledDropped: 1 })
  for (let i = 0; i < 17; i++) {
    code.folderFor(`f${i} r`, USER + i)
    write(USER + i, 'aa', Buffer.alloc(4 * 2 ** 20))
    code.keep(USER + i)
    code.forget(USER + i)
  }
  assert.deepEqual(counters, { compiledKept: 17, compiledDropped: 2 })
  assert.equal(readdirSync(join(path, 'kept')).length, 16)
})
