import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { unifiedDiff } from './unified-diff.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-diff-'))
after(() => rmSync(folder, { recursive: true, force: true }))

test('shows what differs with three lines around it', () => {
  const before = 'a\nb\nc\nd\ne\nf\ng\nh\n'
  const changed = before.replace('e\n', 'E\nE2\n')
  assert.equal(
    unifiedDiff('old', before, 'new', changed),
    ['--- old', '+++ new', '@@ -2,7 +2,8 @@', ' b', ' c', ' d', '-e', '+E', '+E2', ' f', ' g', ' h'].join(
      '\n',
    ),
  )
  assert.equal(unifiedDiff('old', before, 'new', before), '')
  assert.equal(unifiedDiff('old', '', 'new', 'a\n'), '--- old\n+++ new\n@@ -0,0 +1 @@\n+a')
})

test('is what patch(1) makes the second text of the first by', {
  skip: hasPatch() ? false : 'patch is not installed',
}, () => {
  const text = fc
    .array(fc.constantFrom('a', 'b', 'c', '  d: 1', ''), { maxLength: 30 })
    .map((lines) => lines.map((line) => `${line}\n`).join(''))
  fc.assert(
    fc.property(text, text, (before, changed) => {
      const diff = unifiedDiff('f', before, 'f', changed)
      if (before === changed) return assert.equal(diff, '')
      const file = join(folder, 'f')
      writeFileSync(file, before)
      const ran = spawnSync('patch', ['--silent', '--posix', file], { input: `${diff}\n` })
      assert.equal(ran.status, 0, `${ran.stdout}${ran.stderr}\n${diff}`)
      assert.equal(readFileSync(file, 'utf8'), changed)
    }),
    { numRuns: 60 },
  )
})

function hasPatch(): boolean {
  return spawnSync('patch', ['--version']).status === 0
}
