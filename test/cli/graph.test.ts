// mayfly graph, and explain where a verdict hangs on a check service, by folders of manifests.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { startTestMesh, type TestMesh } from '../start-mesh.ts'
import { runCommand } from './run-command.ts'

const ROOT = join(import.meta.dirname, '../..')
const SHOP = join(ROOT, 'examples/shop')
const DEAD = `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ghosts, namespace: shop}
spec:
  rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/ghost]}}]}]
`

let folder: string
let mesh: TestMesh
const run = (...args: string[]) => runCommand(mesh.runtimeDir, args)

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mayfly-graph-'))
  const service = (name: string) =>
    `---\napiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: ${name}, namespace: shop}\nspec: {template: {spec: {containers: [{image: "endpoint:127.0.0.1:9"}]}}}\n`
  mesh = await startTestMesh({ 'm.yaml': `${service('front')}${service('back')}${DEAD}`.slice(4) }, [
    '--default-authorization',
    'allow',
  ])
})
after(async () => {
  await mesh?.stop()
  rmSync(folder, { recursive: true, force: true })
})

test('a folder’s graph as text, JSON and DOT', async () => {
  const [text, short, json, dot] = await Promise.all([
    run('graph', SHOP),
    run('graph', '-f', SHOP, '--function', 'payment'),
    run('graph', SHOP, '-o', 'json'),
    run('graph', SHOP, '-o', 'dot'),
  ])
  assert.match(
    text.stdout,
    /^outside -> shop\/frontend\n {4}if method GET, POST {3}shop\/anyone-may-visit rule 0 \(.*policies\.yaml:2\)$/m,
  )
  assert.match(
    short.stdout,
    /^shop\/cart -> shop\/payment\n {4}if method POST, path \/charge {3}shop\/only-cart-charges rule 0/m,
  )
  assert.doesNotMatch(short.stdout, /catalog -> /)
  const { functions, edges, deadRules } = JSON.parse(json.stdout)
  assert.equal(functions.length, 4)
  assert.deepEqual(deadRules, [])
  const pairs = edges.map(({ from, to }: { from: string; to: string }) => `${from} ${to}`)
  assert.ok(pairs.includes('shop/frontend shop/cart') && !pairs.includes('shop/frontend shop/payment'))
  assert.match(
    dot.stdout,
    /^digraph mesh \{[\s\S]*"shop\/cart" -> "shop\/payment" \[label="method POST, path \/charge", style=dashed\];/,
  )
})

test('the running mesh’s graph heeds its command line, and tells dead rules with file and line', async () => {
  const { code, stdout } = await run('graph')
  assert.equal(code, 0)
  assert.match(
    stdout,
    /Rules that can never match:\n {2}.*m\.yaml:12: AuthorizationPolicy shop\/ghosts rule 0: principals .*ghost: no function has such a one/,
  )
  mesh.write('m.yaml', `apiVersion: v1\nkind: List\nitems: []\n`)
  const emptied = await run('graph')
  assert.match(emptied.stdout, /^nobody may call anybody$/m)
})

test('a wrong command line ends with 2, a folder that cannot be read with 1', async () => {
  const wrong: [string[], number, RegExp][] = [
    [['graph', SHOP, '-o', 'svg'], 2, /expected text, dot or json/],
    [['graph', SHOP, '-f', SHOP], 2, /name one folder/],
    [['graph', SHOP, '--function', 'nobody'], 1, /there is no function nobody; there are: shop\/frontend/],
    [['graph', join(folder, 'none')], 1, /there is no such file or folder/],
  ]
  for (const [args, status, message] of wrong) {
    const { code, stderr } = await run(...args)
    assert.deepEqual([code, message.test(stderr)], [status, true], stderr)
  }
})

test('explain says where a described request hangs on a check service', async () => {
  writeFileSync(
    join(folder, 'm.yaml'),
    `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: front, namespace: shop}
spec: {template: {spec: {containers: [{image: "endpoint:127.0.0.1:9"}]}}}
---
apiVersion: mayfly.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec:
  defaultAuthorization: allow
  extensionProviders: [{name: authz, envoyExtAuthzHttp: {service: 127.0.0.1, port: 1}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: shop}
spec: {action: CUSTOM, provider: {name: authz}, rules: [{to: [{operation: {paths: [/ask]}}]}]}
`,
  )
  const asked = await run('explain', '-f', folder, '--to', 'front', '--path', '/ask')
  assert.match(asked.stdout, /^undecided after .* us: it depends on a check service's answer$/m)
  const other = await run('explain', '-f', folder, '--to', 'front', '--path', '/other')
  assert.match(other.stdout, /^allowed after/m)
  assert.match(other.stdout, /external authorization +skip/)
})

test('the worked example of a check service is valid beside the shop’s functions', async () => {
  const files = ['examples/shop/functions.yaml', 'examples/policies/external-authorization.yaml']
  const { code, stderr } = await run('validate', ...files.map((file) => join(ROOT, file)))
  assert.equal(code, 0, stderr)
})
