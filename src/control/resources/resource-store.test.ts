import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { type CompiledMesh, compileMesh } from '../compile-mesh.ts'
import { openSqliteStore } from '../store/sqlite-store.ts'
import type { Store } from '../store/store.ts'
import { readAudit } from './audit-log.ts'
import { wholeResource } from './compact-resource.ts'
import { resourceKey } from './kept-resource.ts'
import type { Outcome } from './request-queue.ts'
import { ResourceStore } from './resource-store.ts'
import { readRevisions } from './service-revisions.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-resources-'))
after(() => rmSync(folder, { recursive: true, force: true }))
let count = 0
const ASKER = { who: 'anna', from: '127.0.0.1' }

const service = (name: string, image = 'file:./f.ts', metadata: object = {}) => ({
  apiVersion: 'serving.knative.dev/v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop', ...metadata },
  spec: { template: { spec: { containers: [{ image }] } } },
})
const policy = (name: string, methods: string[], metadata: object = {}) => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name, namespace: 'shop', ...metadata },
  spec: { rules: [{ to: [{ operation: { methods } }] }] },
})

async function open(file = join(folder, `${count++}.sqlite`)) {
  const store = await openSqliteStore(file)
  const meshes: CompiledMesh[] = []
  const resources = await ResourceStore.open(store, { changed: (mesh) => meshes.push(mesh) })
  const apply = (manifests: object[], dryRun = false) =>
    resources.request(
      { kind: 'apply', files: manifests.map((one, i) => ({ path: `${i}.json`, text: JSON.stringify(one) })) },
      ASKER,
      dryRun,
    )
  const remove = (of: string, name: string, resourceVersion = '') =>
    resources.request({ kind: 'delete', of, namespace: 'shop', name, resourceVersion }, ASKER)
  return { store, file, meshes, resources, apply, remove }
}

const actions = (outcome: Outcome) => {
  assert.ok(outcome.ok, JSON.stringify(outcome))
  return outcome.changes.map(({ action }) => action)
}
const refusal = (outcome: Outcome) => {
  assert.ok(!outcome.ok)
  return outcome.refused
}

async function closing<T extends { store: Store }>(opened: T, check: (opened: T) => Promise<void>) {
  try {
    await check(opened)
  } finally {
    await opened.store.close()
  }
}

describe('resources', () => {
  test('are in force once they are on disk, and there again after a restart', async () => {
    const first = await open()
    await closing(first, async ({ apply, meshes, resources }) => {
      assert.deepEqual(actions(await apply([service('cart'), policy('p', ['GET'])])), ['created', 'created'])
      assert.equal(meshes.length, 1)
      assert.ok(meshes[0]!.functions.has('shop/cart'))
      assert.deepEqual(actions(await apply([service('cart'), policy('p', ['POST'])])), [
        'unchanged',
        'configured',
      ])
      assert.equal(resources.kept.size, 2)
    })
    await closing(await open(first.file), async ({ resources, apply }) => {
      assert.equal(
        resources.mesh.functions.get('shop/cart')!.policy.hash,
        first.meshes[1]!.functions.get('shop/cart')!.policy.hash,
      )
      assert.deepEqual(actions(await apply([service('cart'), policy('p', ['POST'])])), [
        'unchanged',
        'unchanged',
      ])
    })
  })

  test('are changed all together or not at all', async () => {
    await closing(await open(), async ({ apply, meshes, resources }) => {
      const bad = await apply([service('cart'), policy('p', [''])])
      const refused = refusal(bad)
      assert.ok(refused.kind === 'invalid' && refused.errors[0]!.file === '1.json')
      assert.equal(resources.kept.size + meshes.length, 0)
    })
  })

  test('of a dry run are judged and change nothing', async () => {
    await closing(await open(), async ({ apply, meshes, resources, store }) => {
      assert.deepEqual(actions(await apply([service('cart')], true)), ['created'])
      assert.equal(refusal(await apply([policy('p', [''])], true)).kind, 'invalid')
      assert.equal(resources.kept.size + meshes.length + (await store.list('')).entries.length, 0)
    })
  })

  test('that name a resourceVersion are changed only from that one', async () => {
    await closing(await open(), async ({ apply, remove, resources }) => {
      actions(await apply([policy('p', ['GET'])]))
      const key = resourceKey('AuthorizationPolicy', 'shop', 'p')
      const version = String(resources.kept.get(key)!.modified)
      actions(await apply([policy('p', ['POST'], { resourceVersion: version })]))
      const late = refusal(await apply([policy('p', ['PUT'], { resourceVersion: version })]))
      assert.ok(late.kind === 'conflict' && /somebody changed it/.test(late.message))
      assert.equal(refusal(await remove('AuthorizationPolicy', 'p', version)).kind, 'conflict')
      assert.deepEqual(actions(await remove('AuthorizationPolicy', 'p')), ['deleted'])
      assert.equal(refusal(await remove('AuthorizationPolicy', 'p')).kind, 'missing')
      assert.equal(
        refusal(await apply([policy('p', ['PUT'], { resourceVersion: version })])).kind,
        'conflict',
      )
    })
  })

  test('leave no trace where they are refused or only tried: what stands is compiled as if they had never come', async () => {
    const nowhere = {
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name: 'v', namespace: 'shop' },
      spec: { hosts: ['cart'], http: [{ route: [{ destination: { host: 'nowhere' } }] }] },
    }
    await closing(await open(), async ({ apply, remove, resources }) => {
      actions(await apply([service('cart'), policy('p', ['GET'])]))
      const outcomes = await Promise.all([
        apply([policy('p', ['POST'])]),
        apply([nowhere]),
        apply([policy('p', ['PUT'], { resourceVersion: '1' }), policy('q', ['PUT'])]),
        apply([policy('all', ['TRACE']), service('other')], true),
        apply([service('late'), policy('p', [''])]),
        remove('AuthorizationPolicy', 'none'),
        apply([service('third')]),
      ])
      const kinds = outcomes.map((one) => (one.ok ? 'done' : one.refused.kind))
      assert.deepEqual(kinds, ['done', 'invalid', 'conflict', 'done', 'invalid', 'missing', 'done'])
      const there = Array.from(resources.kept.values(), ({ resource }) => wholeResource(resource))
      assert.deepEqual(there.map(({ metadata }) => metadata.name).sort(), ['cart', 'p', 'third'])
      actions(await apply([policy('p', ['DELETE'])]))
      const anew = compileMesh(Array.from(resources.kept.values(), ({ resource }) => wholeResource(resource)))
      assert.ok(anew.ok)
      assert.deepEqual([...resources.mesh.functions], [...anew.mesh.functions])
      assert.deepEqual([...resources.mesh.policies], [...anew.mesh.policies])
    })
  })

  test('asked for at once are all done, those that can be', async () => {
    await closing(await open(), async ({ apply, resources, meshes }) => {
      const asked = Array.from({ length: 40 }, (_, i) =>
        apply(i % 10 === 3 ? [policy(`p${i}`, [''])] : [policy(`p${i}`, ['GET']), service(`s${i}`)]),
      )
      const outcomes = await Promise.all(asked)
      assert.equal(outcomes.filter(({ ok }) => ok).length, 36)
      assert.equal(resources.kept.size, 72)
      assert.equal(meshes.at(-1)!.functions.size, 36)
      const same = await Promise.all(
        [1, 2, 3].map((i) => apply([policy('same', i === 2 ? ['PUT'] : ['GET'])])),
      )
      assert.deepEqual(same.map(actions), [['created'], ['configured'], ['configured']])
    })
  })

  test('leave a record of who changed what', async () => {
    await closing(await open(), async ({ apply, remove, store }) => {
      await apply([service('cart'), policy('p', ['GET'])])
      await apply([service('cart')])
      await remove('Service', 'cart')
      const records = await readAudit(store, 10)
      assert.deepEqual(
        records.map(({ who, changes }) => [
          who,
          ...changes.map(({ action, kind, name }) => `${action} ${kind} ${name}`),
        ]),
        [
          ['anna', 'created Service cart', 'created AuthorizationPolicy p'],
          ['anna', 'deleted Service cart'],
        ],
      )
    })
  })
})

test('what comes from no file stays in the folder of the file in which it was last written', async () => {
  await closing(await open(), async ({ resources }) => {
    const apply = (path: string, image: string) =>
      resources.request(
        { kind: 'apply', files: [{ path, text: JSON.stringify(service('cart', image)) }] },
        ASKER,
      )
    const folder = () => resources.kept.get(resourceKey('Service', 'shop', 'cart'))!.resource.source.file
    for (const [path, then] of [
      ['/here/-', '/here/-'],
      ['/shop/cart.yaml', '/shop/cart.yaml'],
      ['/elsewhere/-', '/shop/cart.yaml'],
      ['revision 1 of shop/cart', '/shop/cart.yaml'],
      ['/other/cart.yaml', '/other/cart.yaml'],
    ] as const) {
      assert.ok((await apply(path, `file:./${count++}.ts`)).ok)
      assert.equal(folder(), then, path)
    }
  })
})

describe("a Service's revisions", () => {
  test('are kept for as long as a rollback may ask for them, and go with it', async () => {
    await closing(await open(), async ({ apply, remove, store, resources }) => {
      for (let i = 1; i <= 23; i++) await apply([service('cart', `file:./f${i}.ts`)])
      const revisions = await readRevisions(store, 'shop', 'cart')
      assert.deepEqual(
        [revisions.length, revisions[0]!.generation, revisions.at(-1)!.generation],
        [20, 4, 23],
      )
      assert.match(revisions[0]!.text, /f4\.ts/)
      // What its instances do not run by makes no revision.
      actions(await apply([service('cart', 'file:./f23.ts', { labels: { team: 'x' } })]))
      assert.equal(resources.kept.get(resourceKey('Service', 'shop', 'cart'))!.generation, 23)
      await remove('Service', 'cart')
      assert.deepEqual(await readRevisions(store, 'shop', 'cart'), [])
    })
  })
})
