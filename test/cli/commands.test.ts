import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { until } from '../e2e/cluster.ts'
import { MAIN, startTestMesh, type TestMesh } from '../start-mesh.ts'
import { runCommand } from './run-command.ts'

const SERVICE = (name: string) => `---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: ${name}, namespace: test}
spec: {template: {spec: {containers: [{image: "file:./echo.ts"}]}}}
`
const ECHO = `export default {
  async fetch(request: Request) {
    const body = await request.text()
    console.log('got ' + request.method + ' ' + body)
    return new Response(request.method + ' ' + new URL(request.url).pathname + ' ' + body)
  },
}
`
const POLICY = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: visitors, namespace: test}
spec:
  selector: {matchLabels: {serving.knative.dev/service: front}}
  rules: [{to: [{operation: {methods: [GET, POST]}}]}]
`

let mesh: TestMesh
const run = (...args: string[]) => runCommand(mesh.runtimeDir, args)

before(async () => {
  mesh = await startTestMesh({
    'functions.yaml': SERVICE('front') + SERVICE('back'),
    'policies.yaml': POLICY,
    'echo.ts': ECHO,
  })
})
after(() => mesh?.stop())

test('invoke sends a request and prints the answer', async () => {
  assert.deepEqual(await run('invoke', 'front', '--path', '/a'), { code: 0, stdout: 'GET /a ', stderr: '' })
  assert.equal((await run('invoke', 'test/front', '-d', 'hello')).stdout, 'POST / hello')
  assert.equal(
    (await runCommand(mesh.runtimeDir, ['invoke', 'front', '-d', '@-'], 'piped')).stdout,
    'POST / piped',
  )
  const denied = await run('invoke', 'front', '-X', 'DELETE', '-i')
  assert.equal(denied.code, 1)
  assert.match(denied.stdout, /^HTTP\/1.1 403 /)
  const unknown = await run('invoke', 'nobody')
  assert.equal(unknown.code, 1)
  assert.match(unknown.stderr, /no function nobody; there are: test\/front, test\/back/)
})

test('get lists every kind, in the singular too', async () => {
  for (const kind of ['functions', 'instances', 'policies', 'engines']) {
    const listed = await run('get', kind, '-o', 'json')
    assert.equal(listed.code, 0, listed.stderr)
    assert.ok(Array.isArray(JSON.parse(listed.stdout)), kind)
  }
  const [function_, policy] = await Promise.all([run('get', 'function', '-o', 'name'), run('get', 'policy')])
  assert.equal(function_.stdout, 'test/front\ntest/back\n')
  assert.match(policy.stdout, /AuthorizationPolicy +test +visitors +.*policies.yaml:1/)
})

test('describe shows the rules in force as JSON', async () => {
  const { stdout } = await run('describe', 'front', '-o', 'json')
  assert.equal(JSON.parse(stdout).spec.key, 'test/front')
})

test('explain names the rule that decided, for a described request and for a past one', async () => {
  const described = await run('explain', '--to', 'front', '-o', 'json')
  const { outcome, verdicts, microseconds } = JSON.parse(described.stdout)
  assert.equal(outcome, 'allowed')
  assert.ok(microseconds > 0)
  const rule = (list: { policy: string; rule: string | null }[]) =>
    list.find(({ policy }) => policy === 'authorization')?.rule
  assert.match(rule(verdicts) ?? '', /test\/visitors rule 0 \(.*policies\.yaml:1\)/)
  const answer = await run('invoke', 'front', '-i')
  const id = /^x-request-id: (\S+)$/m.exec(answer.stdout)?.[1]
  assert.ok(id, answer.stdout)
  const past = await run('explain', id)
  assert.match(past.stdout, /answered 200 in .* by engine-\d/)
  assert.match(past.stdout, /authorization +allow +.*visitors rule 0 \(.*policies\.yaml:1\)/)
})

test('explain tells what no policy shows: that the gateway does not serve a function', async () => {
  const shop = join(import.meta.dirname, '../../examples/shop')
  const [outside, inside] = await Promise.all([
    run('explain', '-f', shop, '--to', 'payment', '-o', 'json'),
    run('explain', '-f', shop, '--from', 'cart', '--to', 'payment'),
  ])
  assert.deepEqual([JSON.parse(outside.stdout).outcome, JSON.parse(outside.stdout).status], ['refused', 404])
  assert.match(inside.stdout, /^denied \(403\)[\s\S]*\n.*authorization +deny +none allows it$/m)
})

test('what allow prints, appended to the manifests, permits that call', async () => {
  const refused = await run('invoke', 'back', '--as', 'front')
  assert.equal(refused.code, 1)
  const printed = await run('allow', 'front', 'back')
  assert.equal(printed.code, 0, printed.stderr)
  assert.equal(printed.stderr, '')
  const applied = mesh.line('stderr', /applied/)
  mesh.write('policies.yaml', POLICY + printed.stdout)
  await applied
  assert.equal((await run('invoke', 'back', '--as', 'front')).stdout, 'GET / ')
})

test('allow says when the caller’s own Sidecar stands in the way', async () => {
  const shop = join(import.meta.dirname, '../../examples/shop')
  const printed = await run('allow', '-f', shop, 'frontend', 'payment')
  assert.equal(printed.code, 0)
  assert.match(printed.stderr, /Sidecar shop\/frontend-knows .* add shop\/payment\.shop\.svc\.cluster\.local/)
})

test('allow says when a DENY policy stands in the way', async () => {
  const deny = POLICY.replace('rules:', 'action: DENY\n  rules:').replace('visitors', 'nobody')
  mesh.write('deny.yaml', deny)
  const printed = await until(
    () => run('allow', 'back', 'front'),
    ({ stderr }) => stderr !== '',
  )
  assert.match(printed.stdout, /kind: AuthorizationPolicy/)
  assert.match(printed.stderr, /one denies GET \/: .*test\/nobody rule 0 \(.*deny\.yaml:1\)/)
  rmSync(join(mesh.dir, 'deny.yaml'))
  await until(
    () => run('allow', 'back', 'front'),
    ({ stderr }) => stderr === '',
  )
})

test('logs -f follows what functions write, and ends with its reader', async () => {
  const child = spawn(process.execPath, ['--no-warnings', MAIN, 'logs', 'front', '-f', '--tail', '0'], {
    env: { ...process.env, XDG_RUNTIME_DIR: mesh.runtimeDir },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface(child.stdout)
  let asked: Promise<unknown> = Promise.resolve()
  // The follower has subscribed at some moment unknown here, so requests are repeated until it tells of one.
  const repeat = setInterval(() => {
    asked = run('invoke', 'front', '-d', 'followed')
  }, 700)
  let heard = ''
  for await (heard of lines) if (heard.includes('got POST followed')) break
  clearInterval(repeat)
  await asked
  child.kill('SIGKILL')
  assert.match(heard, /^\S+Z test-front-\S+ got POST followed$/)
})

test('validate prints every error with its place, and ends with 1', async () => {
  const good = await run('validate', mesh.dir)
  assert.equal(good.code, 0, good.stderr)
  assert.match(good.stdout, /^valid: 2 functions/)
  mesh.write('notes.txt', 'kind: Service\nspec: {}\n---\nkind: Nonsense\n')
  const bad = await run('validate', join(mesh.dir, 'notes.txt'), '/no/such/file')
  assert.equal(bad.code, 1)
  assert.match(bad.stderr, /\/no\/such\/file: there is no such file/)
  assert.match(bad.stderr, /notes\.txt:1:1: /)
  assert.match(bad.stderr, /notes\.txt:4:1: apiVersion: is missing/)
})

test('a wrong command line ends with 2 and a sentence that helps', async () => {
  const wrong: [string[], RegExp][] = [
    [['nonsense'], /unknown command 'nonsense'/],
    [['get', 'things'], /no kind things: expected one of functions, instances/],
    [['get', '-o', 'xml'], /-o xml: expected table, json, yaml or name/],
    [['up', '--gateway', 'here'], /--gateway here: expected ADDRESS:PORT/],
    [['up', '--default-authorization', 'maybe'], /expected allow or deny/],
    [['up', '--nope'], /unknown option '--nope'/],
    [['up', '--ready-file', '/no/such/folder/f'], /--ready-file \/no\/such\/folder\/f: it cannot be written/],
    [['invoke', 'front', '-H', 'nothing'], /expected "name: value"/],
    [['explain'], /say which request/],
    [['explain', '--to', 'front', '--source-ip', 'here'], /expected an IP address/],
    [['logs', '--tail', 'x'], /--tail x: expected a number/],
    [['version', '-o', 'xml'], /-o xml: expected text or json/],
    [['completion', 'tcsh'], /no completion for tcsh: expected bash, zsh, fish/],
  ]
  await inPairs(wrong, async ([args, message]) => {
    const { code, stderr } = await run(...args)
    assert.equal(code, 2, `${args.join(' ')}: ${stderr}`)
    assert.match(stderr, message)
  })
})

test('a mesh that does not exist is named as such', async () => {
  const { code, stderr } = await run('get', '--mesh', '1')
  assert.equal(code, 1)
  assert.match(stderr, new RegExp(`no mesh with this process id; there are: ${mesh.process.pid}`))
})

test('bash completes commands, kinds and options by the printed script', async () => {
  const script = (await run('completion', 'bash')).stdout
  const complete = async (...words: string[]) => {
    const bash = spawn('bash', [
      '-c',
      `${script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _mayfly; echo "\${COMPREPLY[*]}"`,
      'bash',
      'mayfly',
      ...words,
    ])
    let out = ''
    for await (const part of bash.stdout.setEncoding('utf8')) out += part
    return out.trim()
  }
  assert.equal(await complete('desc'), 'describe')
  assert.equal(await complete('get', 'inst'), 'instances')
  assert.equal(await complete('up', '--gate'), '--gateway')
  assert.equal(await complete('completion', 'z'), 'zsh')
})

test('every command has help, and those that take arguments an example', async () => {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'))
  assert.equal((await run('--version')).stdout, `${version}\n`)
  const names = ['up', 'get', 'describe', 'logs', 'invoke', 'allow', 'explain', 'validate', 'replay']
  await inPairs(names, async (name) => {
    const { code, stdout } = await run(name, '--help')
    assert.equal(code, 0)
    assert.match(stdout, new RegExp(`Examples?:\\n  mayfly ${name}`), name)
  })
})

/** Two at a time, as there are cores. */
async function inPairs<T>(all: readonly T[], check: (one: T) => Promise<void>): Promise<void> {
  for (let i = 0; i < all.length; i += 2) await Promise.all(all.slice(i, i + 2).map(check))
}
