import assert from 'node:assert/strict'
import test from 'node:test'
import { formatManifestError } from './manifest-error.ts'
import { readManifests } from './read-manifests.ts'

test('an error is one line that a manifest cannot forge or turn around', () => {
  for (const odd of ['\u202e', '\u2028', '\u2029', '\u0085', '\u009b31m', '\ufeff', '\u200b', '\ud800']) {
    const text = `apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: "a${odd}b", c${odd}d: 1}\n`
    const reading = readManifests([{ path: `x${odd}.yaml`, text }])
    assert.ok(!reading.ok)
    for (const line of reading.errors.map(formatManifestError)) {
      assert.match(line, /^[\x20-\x7e]+$/)
      assert.match(line, /^x\\u[0-9a-f]{4}/)
    }
  }
  assert.match(
    formatManifestError({ code: 'bad-value', file: 'a\n.yaml', line: 1, column: 2, field: '', message: 'é' }),
    /^a\\u000a\.yaml:1:2: é \(bad-value\)$/,
  )
})
