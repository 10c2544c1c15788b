import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import test from 'node:test'
import { formatManifestError } from './manifest-error.ts'
import { readManifests } from './read-manifests.ts'

// testdata/manifest-errors.txt: after `=== TITLE` a file's text, after `=>` the errors it must give, exactly.
// UPDATE_GOLDEN=1 writes what is given now, to be read before it is kept.

const GOLDEN = new URL('testdata/manifest-errors.txt', import.meta.url)

test('bad manifests give exactly the errors of the golden file', () => {
  const golden = readFileSync(GOLDEN, 'utf8')
  const cases = golden
    .split(/^=== /m)
    .slice(1)
    .map(
      (part) =>
        /^(?<title>[^\n]*)\n(?<text>[\s\S]*?)\n=>\n/.exec(part)!.groups as { title: string; text: string },
    )
  assert.ok(cases.length > 60, 'the golden file was not read')
  const actual = cases.map(({ title, text }) => `=== ${title}\n${text}\n=>\n${errorsOf(text)}\n\n`).join('')
  if (process.env.UPDATE_GOLDEN === '1') writeFileSync(GOLDEN, actual.trimEnd().concat('\n'))
  else assert.equal(`${actual.trimEnd()}\n`, golden)
})

function errorsOf(text: string): string {
  const read = readManifests([{ path: 'm.yaml', text }])
  return read.ok ? 'no error' : read.errors.map(formatManifestError).join('\n')
}
