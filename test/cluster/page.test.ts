// docs/cluster.md, followed literally but for its ports and its folder, so that it runs beside whatever else does.

import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { freePort } from '../e2e/cluster.ts'
import { runProgram } from './run-program.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('the page on clusters works as it stands', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-page-'))
  const page = readFileSync(join(root, 'docs/cluster.md'), 'utf8')
  const block = /```sh\n([\s\S]*?)```/.exec(page)![1]!
  const script = block
    .replaceAll('/tmp/mayfly', folder)
    .replaceAll('7443', String(await freePort()))
    .replaceAll('8080', String(await freePort()))
  const ran = await runProgram(
    'bash',
    ['-c', `trap 'kill $(jobs -p); wait' EXIT\nset -e\n${script}`],
    300_000,
  )
  try {
    assert.equal(ran.code, 0, ran.text)
    // Both by invoke and by curl.
    assert.equal(ran.text.match(/"welcome":"to the shop"/g)?.length, 2, ran.text)
    for (const name of ['n1', 'n2', 'n3', 'gateway'])
      assert.match(ran.text, new RegExp(`^${name} +ready`, 'm'))
    assert.match(ran.text, /Node n1 uncordoned/)
    assert.match(ran.text, /admin +\S+ +created +Credential +anna/)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
