// `npm test [-- PATTERN...]`: everything that CI runs: the checks, then every test beside its source and under test/.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const patterns = process.argv.slice(2)
if (patterns.length === 0) run(['scripts/check.ts'])
const tests =
  patterns.length > 0
    ? patterns
    : ['src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts', 'scripts/**/*.test.ts']
run(['--test', '--no-warnings', ...tests])

function run(args: string[]): void {
  const ran = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' })
  if (ran.status !== 0) process.exit(ran.status ?? 1)
}
