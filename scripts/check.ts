// Format, lint (with the layer rule) and types, as CI checks them.

import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const resolve = createRequire(import.meta.url).resolve

const checks: [name: string, script: string, args: string[]][] = [
  [
    'format and lint',
    join(dirname(resolve('@biomejs/biome/package.json')), 'bin/biome'),
    ['check', '--error-on-warnings', '.'],
  ],
  ['types', join(dirname(resolve('typescript/package.json')), 'bin/tsc'), ['-p', root]],
]
for (const [name, script, args] of checks) {
  const startedAt = performance.now()
  const ran = spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit' })
  if (ran.status !== 0) {
    console.error(`${name}: failed`)
    process.exit(1)
  }
  console.log(`${name}: ok (${((performance.now() - startedAt) / 1000).toFixed(1)} s)`)
}
