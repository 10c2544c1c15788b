import assert from 'node:assert/strict'
import test from 'node:test'
import type { ManifestError } from './manifest-error.ts'
import { readManifests } from './read-manifests.ts'
import type { Resource } from './resource.ts'

function read(...texts: string[]): Resource[] {
  const result = readManifests(texts.map((text, index) => ({ path: `m${index}.yaml`, text })))
  assert.deepEqual(result.ok ? [] : result.errors, [])
  return result.ok ? result.resources : []
}

function refuse(...texts: string[]): ManifestError[] {
  const result = readManifests(texts.map((text, index) => ({ path: `m${index}.yaml`, text })))
  assert.ok(!result.ok, 'expected errors')
  return result.errors
}

test('several files of several documents, comments and empty documents', () => {
  const resources = read(
    '# nothing\n---\n---\n...\n',
    `${sidecar('a')}---\n# none\n---\n${sidecar('b', 'shop')}`,
    '',
  )
  assert.deepEqual(
    resources.map(({ kind, metadata, source }) => [
      kind,
      metadata.namespace,
      metadata.name,
      source.file,
      source.line,
    ]),
    [
      ['Sidecar', 'default', 'a', 'm1.yaml', 1],
      ['Sidecar', 'shop', 'b', 'm1.yaml', 9],
    ],
  )
})

test('JSON is YAML', () => {
  const [mesh] = read(
    '{"apiVersion":"mayfly.dev/v1","kind":"MeshConfig",\n\t"metadata":{"name":"m"},"spec":{"engines":2}}',
  )
  assert.equal(mesh?.kind === 'MeshConfig' && mesh.spec.engines, 2)
})

test('anchors and aliases stand for what they name; errors point to what was written', () => {
  const [policy] = read(
    policyWith('rules:\n  - from: [{source: &s {namespaces: [a]}}]\n  - from: [{source: *s}]'),
  )
  assert.deepEqual(policy?.kind === 'AuthorizationPolicy' && policy.spec.rules[1]?.from?.[0]?.source, {
    namespaces: ['a'],
  })
  const [error] = refuse(
    policyWith('rules:\n  - from: [{source: &s {namespaces: [a]}}]\n  - from: [{source: *s, to: 1}]'),
  )
  assert.deepEqual([error?.line, error?.column, error?.field], [7, 25, 'spec.rules[1].from[0].to'])
})

test('a repeated anchor name means the latest before the alias', () => {
  const [policy] = read(
    policyWith('rules:\n  - from: [{source: {namespaces: [&a x]}}, {source: {namespaces: [*a, &a y, *a]}}]'),
  )
  const sources =
    policy?.kind === 'AuthorizationPolicy'
      ? policy.spec.rules[0]?.from?.map(({ source }) => source.namespaces)
      : []
  assert.deepEqual(sources, [['x'], ['x', 'y', 'y']])
})

test('a resource may have the name of another of its kind in another namespace, or of another kind', () => {
  assert.equal(read(`${sidecar('a', 'x')}---\n${sidecar('a', 'y')}---\n${policyWith('{}', 'a')}`).length, 3)
})

test('a duplicate in another file names both places', () => {
  const [error, ...others] = refuse(sidecar('a'), '# comment', `---\n${sidecar('a')}`)
  assert.deepEqual(
    [error?.code, error?.file, error?.line, error?.field],
    ['duplicate-resource', 'm2.yaml', 4, 'metadata.name'],
  )
  assert.match(error!.message, /m0\.yaml:3$/)
  assert.deepEqual(
    others.map(({ code }) => code),
    ['conflict'],
  )
})

test('one bad document spoils the whole reading, and all errors of all files come in order', () => {
  const errors = refuse(sidecar('OK?'), sidecar('fine'), 'kind: Foo', policyWith('acton: DENY\n  rules: 1'))
  assert.deepEqual(
    errors.map(({ file, line, field }) => [file, line, field]),
    [
      ['m0.yaml', 3, 'metadata.name'],
      ['m2.yaml', 1, 'apiVersion'],
      ['m3.yaml', 5, 'spec.acton'],
      ['m3.yaml', 6, 'spec.rules'],
    ],
  )
})

test('sizes are bounded: text, documents, nesting, values, aliases, errors', () => {
  const onlyCode = (text: string) => [...new Set(refuse(text).map(({ code }) => code))]
  assert.deepEqual(onlyCode('x'.repeat(4 * 1024 * 1024 + 1)), ['too-large'])
  assert.deepEqual(onlyCode('---\n'.repeat(20_000)), ['too-large'])
  assert.deepEqual(onlyCode('['.repeat(10_000)), ['too-large'])
  assert.deepEqual(onlyCode(`${'- '.repeat(10_000)}a`), ['too-large'])
  assert.deepEqual(onlyCode('? '.repeat(5_000)), ['too-large'])
  assert.deepEqual(onlyCode(`[${'a,'.repeat(200_001)}]`), ['too-large'])
  const bomb = 'abcdefgh'
    .split('')
    .map(
      (name, index, all) =>
        `${name}: &${name} [${index === 0 ? 'x' : `*${all[index - 1]}`}${index === 0 ? '' : `,*${all[index - 1]}`.repeat(9)}]`,
    )
  assert.deepEqual(onlyCode(bomb.join('\n')), ['too-large'])
  const errors = refuse(`${'---\nkind: Foo\n'.repeat(2_000)}`)
  assert.equal(errors.length, 1_001)
  assert.match(errors.at(-1)!.message, /1000 more/)
})

function sidecar(name: string, namespace = 'default'): string {
  return `apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: "${name}", namespace: ${namespace}}\nspec:\n  egress: [{hosts: ["./*"]}]\n`
}

function policyWith(spec: string, name = 'p'): string {
  return `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: ${name}}\nspec:\n  ${spec}\n`
}
