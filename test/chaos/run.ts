// `node test/chaos/run.ts --minutes 5 --seed N`: chaos for as long as one wants. Ends with 1 where an invariant was broken.

import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { chaos } from './chaos.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    recovery: { type: 'string', default: '5' },
    only: { type: 'string', default: '' },
    /** A file for what the roles said and for the history. */
    keep: { type: 'string', default: '' },
  },
})

const seed = Number(values.seed)
console.log(`seed ${seed}`)
const begun = performance.now()
const { violations, figures, skipped, history, log } = await chaos({
  seed,
  durationMs: Number(values.minutes) * 60_000,
  recoveryMs: Number(values.recovery) * 1_000,
  quietMs: Number(values.recovery) * 1_000 + 1_500,
  only: values.only,
  progress: (text) =>
    console.log(`${((performance.now() - begun) / 1_000).toFixed(1).padStart(6)} s  ${text}`),
})
if (values.keep) writeFileSync(values.keep, `${log}\n${JSON.stringify(history)}\n`)
console.log(JSON.stringify({ seed, skipped, figures }, null, 2))
for (const violation of violations.slice(0, 40)) console.error(`BROKEN: ${violation}`)
console.log(violations.length === 0 ? 'All invariants hold.' : `${violations.length} violations`)
process.exit(violations.length === 0 ? 0 : 1)
