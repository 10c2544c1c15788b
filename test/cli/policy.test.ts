// `mayfly policy`: projects are made, built and tested; the examples are what their sources say.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { MAIN } from '../start-mesh.ts'

const EXAMPLES = fileURLToPath(new URL('../../examples/policies/user', import.meta.url))
const work = mkdtempSync(join(tmpdir(), 'mayfly-policy-'))
after(() => rmSync(work, { recursive: true }))

function policy(...args: string[]) {
  const run = spawnSync(process.execPath, ['--no-warnings', MAIN, 'policy', ...args], {
    cwd: work,
    encoding: 'utf8',
  })
  return { status: run.status, stdout: run.stdout, stderr: run.stderr }
}

describe('the examples', () => {
  for (const name of readdirSync(EXAMPLES)) {
    const folder = join(EXAMPLES, name)
    test(`${name}: its cases hold, in a reset sandbox and in a new instance`, () => {
      const run = policy('test', folder)
      assert.equal(run.status, 0, run.stdout + run.stderr)
    })

    test(`${name}: its module is what its source compiles to`, (t) => {
      const copy = join(work, `copy-${name}`)
      cpSync(folder, copy, { recursive: true })
      if (name === 'distinct-agents') {
        const built = spawnSync('sh', ['build.sh'], { cwd: copy, encoding: 'utf8' })
        if (built.status !== 0) return t.skip(`no Rust for wasm32: ${built.stderr.split('\n')[0]}`)
        // Another version of the compiler writes other bytes; the cases must hold all the same.
        assert.equal(policy('test', copy).status, 0)
        return
      }
      const built = policy('build', copy)
      assert.equal(built.status, 0, built.stderr)
      const [made, kept] = [copy, folder].map((where) => readFileSync(join(where, 'policy.wasm')))
      assert.ok(made!.equals(kept!), `rebuild it: mayfly policy build ${folder}`)
    })
  }
})

describe('a project', () => {
  test('is made from each template, built and tested', () => {
    for (const template of ['api-key', 'headers', 'plan-quota']) {
      const name = `my-${template}`
      const made = policy('new', name, '--template', template)
      assert.equal(made.status, 0, made.stderr)
      assert.match(
        readFileSync(join(work, name, 'policy.yaml'), 'utf8'),
        new RegExp(`^ {2}name: ${name}$`, 'm'),
      )
      assert.equal(policy('build', name).status, 0)
      const tested = policy('test', name)
      assert.equal(tested.status, 0, tested.stdout)
    }
  })

  test('is not made over another one, nor with a name or template that is none', () => {
    assert.equal(policy('new', 'my-api-key').status, 1)
    assert.equal(policy('new', 'No_Name').status, 2)
    assert.equal(policy('new', 'fine', '--template', 'nothing').status, 2)
  })

  test('whose source is wrong, or cannot be proved, is not built, and says why', () => {
    writeFileSync(join(work, 'my-api-key', 'policy.ts'), 'export function request(): i32 { return nothing }')
    const wrong = policy('build', 'my-api-key')
    assert.equal(wrong.status, 1)
    assert.match(wrong.stderr, /policy\.ts/)
    writeFileSync(
      join(work, 'my-api-key', 'policy.ts'),
      'export function request(): i32 { return i32(f32.load(0)) }',
    )
    const unproved = policy('build', 'my-api-key')
    assert.equal(unproved.status, 1)
    assert.match(unproved.stderr, /spec\.module\.file: .*byte \d+: .*freshness: newInstance/)
  })

  test('whose cases do not hold says what was expected, and ends with 1', () => {
    const cases = {
      cases: [{ name: 'wrong', steps: [{ request: {}, expect: { verdict: 'allow', status: 403 } }] }],
    }
    writeFileSync(join(work, 'wrong.json'), JSON.stringify(cases))
    const run = policy('test', 'my-headers', '--cases', 'wrong.json')
    assert.equal(run.status, 0, run.stdout)
    const denied = policy('test', join(EXAMPLES, 'api-key'), '--cases', 'wrong.json', '-o', 'json')
    assert.equal(denied.status, 1)
    assert.match(JSON.parse(denied.stdout)[0].problems[0], /expect\.verdict: expected "allow", got "deny"/)
    writeFileSync(join(work, 'wrong.json'), '{"cases": [{"name": "x", "steps": [{"expects": {}}]}]}')
    const bad = policy('test', 'my-headers', '--cases', 'wrong.json')
    assert.equal(bad.status, 1)
    assert.match(bad.stderr, /cases\.0\.steps\.0/)
  })
})
