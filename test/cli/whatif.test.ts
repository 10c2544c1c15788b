// mayfly whatif on a real mesh: which of the requests that it remembers would have been answered otherwise.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { WhatIfReport } from '../../src/control/whatif.ts'
import { RawClient } from '../raw-client.ts'
import { endpointFunction, startTestMesh, type TestMesh } from '../start-mesh.ts'
import { runCommand } from './run-command.ts'

const MESH = `apiVersion: mayfly.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec:
  engines: 2
  extensionProviders: [{name: authz, envoyExtAuthzHttp: {service: 127.0.0.1, port: 1}}]
`
const allow = (name: string, rules: string, action = 'ALLOW') => `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: test}
spec:
  action: ${action}
  selector: {matchLabels: {serving.knative.dev/service: ${name}}}
  rules: ${rules}
`
const POLICIES = `${allow('front', '[{to: [{operation: {methods: [GET, POST]}}]}]')}${allow('back', '[{}]')}---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: front-knows, namespace: test}
spec:
  workloadSelector: {labels: {serving.knative.dev/service: front}}
  egress: [{hosts: ["./nobody.test.svc.cluster.local"]}]
`

let mesh: TestMesh
let app: Server
let folder: string
const run = (...args: string[]) => runCommand(mesh.runtimeDir, args)

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mayfly-whatif-'))
  app = createServer((request, response) => {
    request.resume().on('end', () => response.end('ok'))
  }).listen(0, '127.0.0.1')
  await once(app, 'listening')
  const address = `127.0.0.1:${(app.address() as AddressInfo).port}`
  mesh = await startTestMesh({
    'functions.yaml': ['front', 'back'].map((name) => endpointFunction(name, address)).join('---\n'),
    'mesh.yaml': MESH,
    'policies.yaml': POLICIES.replace(/^---\n/, ''),
  })
  for (const path of ['/a', '/b', '/c']) await send('front', `GET ${path} HTTP/1.1`)
  await send(
    'front',
    'POST /write?token=s3cret&q=1 HTTP/1.1\r\nauthorization: Bearer s3cret\r\ncontent-length: 0',
  )
  await send('front', 'DELETE /a HTTP/1.1')
  await send('back', 'GET / HTTP/1.1', 'front')
  await send('front', 'GET /inner HTTP/1.1', 'back')
})
after(async () => {
  await mesh?.stop()
  app?.closeAllConnections()
  app?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Through the gateway, or as a function. */
async function send(to: string, head: string, as?: string): Promise<string> {
  const port = as ? Number(new URL(mesh.functions[`test/${as}`]!.egress).port) : mesh.port
  const client = await RawClient.connect(port)
  client.send(`${head}\r\nhost: ${to}${as ? '' : '.test.localhost'}\r\nconnection: close\r\n\r\n`)
  const reply = await client.receive()
  client.close()
  return reply
}

function file(text: string, name = 'new.yaml'): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

async function report(...args: string[]): Promise<{ code: number | null; report: WhatIfReport }> {
  const { code, stdout, stderr } = await run('whatif', ...args, '-o', 'json')
  assert.equal(stderr, '')
  return { code, report: JSON.parse(stdout) }
}

test('a rule that is written anew changes verdicts, told with both rules and examples', async () => {
  const path = file(allow('front', '[{to: [{operation: {methods: [GET], notPaths: [/b]}}]}]'))
  const { code, report: found } = await report('-f', path)
  assert.equal(code, 3)
  assert.deepEqual(
    { requests: found.requests, changed: found.changed, policies: found.policies, engines: found.engines },
    { requests: 7, changed: 2, policies: ['test/front'], engines: { answered: 2, asked: 2 } },
  )
  const from = {
    outcome: 'allowed',
    status: 0,
    function: 'test/front',
    direction: 'ingress',
    policy: 'authorization',
    needs: [],
  }
  assert.equal(found.changes.length, 1)
  const { rule, ...was } = found.changes[0]!.from
  assert.deepEqual({ ...was, rule: null }, { ...from, rule: null })
  // The path is as short as it may be from where the command runs.
  assert.match(rule!, /^test\/front rule 0 \(.*policies\.yaml:1\)$/)
  assert.deepEqual(found.changes[0]!.to, { ...from, outcome: 'denied', status: 403, rule: null })
  const targets = found.changes[0]!.examples.map(
    ({ method, target, from: caller }) => `${method} ${target} ${caller}`,
  )
  assert.deepEqual(targets.sort(), ['GET /b ', 'POST /write?token=[redacted]&q=1 '])
  const text = await run('whatif', '-f', path)
  assert.equal(text.code, 3)
  assert.match(
    text.stdout,
    /2 x allowed -> denied \(403\)\n {2}was: test\/front \(ingress\) by authorization: test\/front rule 0/,
  )
  assert.doesNotMatch(text.stdout, /s3cret/)
})

test('what is added can change verdicts, what is deleted too, and a DELETE that was refused can pass', async () => {
  const added = await report(
    '-f',
    file(
      allow('front', '[{to: [{operation: {paths: ["/c*"]}}]}]', 'DENY').replace(
        'name: front,',
        'name: no-c,',
      ),
    ),
  )
  assert.deepEqual([added.code, added.report.changed], [3, 1])
  assert.match(added.report.changes[0]!.to.rule!, /^test\/no-c rule 0 \(.*new\.yaml:2\)$/)
  const opened = await report('-f', file(allow('front', '[{}]')))
  assert.deepEqual(
    opened.report.changes.map(({ from, to, count }) => `${count} ${from.outcome} ${to.outcome}`),
    ['1 denied allowed'],
  )
  const closed = await report('--delete', 'AuthorizationPolicy/test/back')
  assert.deepEqual([closed.code, closed.report.changed], [0, 0], 'nobody had got as far as that')
  assert.equal(closed.report.policies.join(), 'test/back')
})

test('a call that the caller’s Sidecar refused is followed to its callee', async () => {
  const { report: found } = await report('--delete', 'Sidecar/front-knows')
  assert.equal(found.changed, 1)
  const { from, to, examples } = found.changes[0]!
  assert.deepEqual([from.outcome, from.function, from.direction], ['denied', 'test/front', 'outbound'])
  assert.deepEqual([to.outcome, to.function, to.direction], ['allowed', 'test/back', 'inbound'])
  assert.match(to.rule!, /^test\/back rule 0 /)
  assert.deepEqual([examples[0]!.from, examples[0]!.to], ['test/front', 'test/back'])
  const both = await report('--delete', 'Sidecar/front-knows', '--delete', 'AuthorizationPolicy/back')
  const after = both.report.changes.find((one) => one.from.direction === 'outbound')!.to
  assert.deepEqual([after.outcome, after.function, after.policy], ['denied', 'test/back', 'authorization'])
})

test('a verdict that hangs on what nobody asked is undecided', async () => {
  const custom = allow('front', '[{to: [{operation: {paths: [/a]}}]}]', 'CUSTOM').replace(
    'spec:',
    'spec:\n  provider: {name: authz}',
  )
  const { code, report: found } = await report('-f', file(custom.replace('name: front,', 'name: ask,')))
  assert.equal(code, 3)
  assert.deepEqual(
    found.changes.map(({ from, to, count }) => [count, from.outcome, to.outcome, to.needs]),
    [
      [1, 'allowed', 'undecided', ["a check service's answer"]],
      [1, 'denied', 'undecided', ["a check service's answer"]],
    ],
  )
})

test('a function that is deleted is gone; what changes no verdict ends with 0', async () => {
  const gone = await report('--delete', 'Service/back')
  assert.deepEqual(
    gone.report.changes.map(({ to }) => [to.outcome, to.function, to.status]),
    [['gone', 'test/back', 404]],
  )
  const same = await report('-f', file(allow('front', '[{to: [{operation: {methods: [POST, GET]}}]}]')))
  assert.deepEqual([same.code, same.report.changed, same.report.otherRule], [0, 0, 0])
  const text = await run('whatif', '-f', file(allow('back', '[{}, {}]')))
  assert.equal(text.code, 0)
  assert.match(text.stdout, /the policies of test\/back change; 0 requests would be answered otherwise/)
})

test('what cannot be asked is said, with file and line', async () => {
  const wrong: [string[], number, RegExp][] = [
    [[], 2, /say what is to be otherwise/],
    [
      ['-f', file('kind: Nonsense\napiVersion: x/v1\n', 'bad.yaml')],
      1,
      /bad\.yaml:1:\d+: kind: "Nonsense" is not known/,
    ],
    [['--delete', 'Sidecar'], 2, /expected KIND\/NAME/],
    [['--delete', 'Sidecar/nobody'], 1, /there is no such resource/],
    [['-f', join(folder, 'none.yaml')], 1, /there is no such file/],
    [['-f', file(allow('front', '[{}]')), '-o', 'xml'], 2, /expected text or json/],
  ]
  for (const [args, status, message] of wrong) {
    const { code, stderr } = await run('whatif', ...args)
    assert.equal(code, status, stderr)
    assert.match(stderr, message)
  }
  const other = mkdtempSync(join(tmpdir(), 'mayfly-other-'))
  writeFileSync(join(other, 'm.yaml'), endpointFunction('front', '127.0.0.1:9'))
  const { code, stderr } = await run('whatif', other, '-f', file(allow('front', '[{}]')))
  rmSync(other, { recursive: true })
  assert.equal(code, 1)
  assert.match(stderr, /these are not the manifests that run: the policies of test\/front, test\/back differ/)
})

test('explain tells that a past decision can be made once more, and shows no secret', async () => {
  const reply = await send(
    'front',
    'GET /again?api_key=s3cret HTTP/1.1\r\ncookie: id=s3cret\r\nx-auth-token: s3cret',
  )
  const id = /^x-request-id: (\S+)$/m.exec(reply)![1]!
  const { stdout } = await run('explain', id)
  assert.match(stdout, /^GET \/again\?api_key=\[redacted\]$/m)
  assert.match(stdout, /^test\/front \(ingress\): decided once more from its input, with the same result$/m)
  const json = await run('explain', id, '-o', 'json')
  assert.doesNotMatch(json.stdout, /s3cret/)
  const { again, request } = JSON.parse(json.stdout)
  assert.deepEqual(again, [{ function: 'test/front', direction: 0, again: 'same' }])
  assert.deepEqual(
    request.fields.find(([name]: [string]) => name === 'cookie'),
    ['cookie', 'id=[redacted]'],
  )
})
