import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ControlPlanes } from './control-planes.ts'

const FUNCTION = `export default { fetch: () => new Response('served') }
`

let planes: ControlPlanes
before(async () => {
  planes = await ControlPlanes.start(2)
})
after(() => planes.stop())

test('nodes serve on while the leader is lost, and attach to the next one with what they have', async () => {
  const gateway = await planes.join('gateway', 'g', '--gateway', '127.0.0.1:0')
  await planes.join('node', 'n1')
  const port = /gateway http:\/\/127\.0\.0\.1:(\d+)/.exec(gateway.said)![1]!
  const leader = await planes.leader()
  const program = join(planes.folder, 'served.ts')
  writeFileSync(program, FUNCTION)
  const image = `file:${program}`
  const manifests = [
    {
      apiVersion: 'serving.knative.dev/v1',
      kind: 'Service',
      metadata: { name: 'served', namespace: 'shop' },
      spec: { template: { spec: { containers: [{ image }] } } },
    },
    {
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: 'all', namespace: 'shop' },
      spec: { rules: [{}] },
    },
  ]
  const files = manifests.map((one, i) => ({ path: `${i}.json`, text: JSON.stringify(one) }))
  await leader.client.apply({ files })
  const request = () =>
    new Promise<number>((resolve, reject) => {
      const headers = { host: `served.shop.localhost:${port}` }
      get({ host: '127.0.0.1', port, path: '/', headers, agent: false }, (response) => {
        response.resume()
        response.on('end', () => resolve(response.statusCode!))
      }).on('error', reject)
    })
  const first = await planes.until('it serves', async () => {
    const status = await request().catch(() => 0)
    return status === 200 ? status : null
  })
  await planes.kill(leader)
  let served = 0
  const next = await planes.until('another leads and has the nodes', async () => {
    assert.equal(await request(), first)
    served++
    const [plane] = planes.planes.filter((one) => one !== leader)
    const { json } = await plane!.client.status({ what: 'nodes' }).catch(() => ({ json: '[]' }))
    const nodes = JSON.parse(json) as { state: string }[]
    return nodes.length === 2 && nodes.every(({ state }) => state === 'ready') ? plane : null
  })
  assert.ok(served > 1)
  const { json } = await next.client.status({ what: 'instances' })
  assert.equal((JSON.parse(json) as unknown[]).length, 1, json)
  assert.equal(await request(), first)
})
