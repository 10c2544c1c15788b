import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPathTemplate, parsePathTemplate } from './path-template.ts'

test('a path with an operator is a template', () => {
  for (const path of ['/{*}', '/a/{**}', 'a{*}']) assert.ok(isPathTemplate(path), path)
  for (const path of ['/a', '/a*', '*/a', '/{a}', '*']) assert.ok(!isPathTemplate(path), path)
})

test('templates compile to steps', () => {
  const text = (path: string) => {
    const template = parsePathTemplate(path)
    assert.ok(template.ok, path)
    return Buffer.from(template.program).toString('latin1')
  }
  assert.equal(text('/foo/{*}'), '\x01\x05\x00/foo/\x02\x00')
  assert.equal(text('/{*}/bar/'), '\x01\x01\x00/\x02\x01\x05\x00/bar/\x00')
  assert.equal(text('/foo/{*}/bar/{**}'), '\x01\x05\x00/foo/\x02\x01\x05\x00/bar/\x03\x00\x00')
  assert.equal(text('/foo/{**}/'), '\x01\x05\x00/foo/\x03\x01\x00/')
  assert.equal(text('/{**}/a/b'), '\x01\x01\x00/\x03\x04\x00/a/b')
})

test("what Istio's documentation calls invalid is refused with the reason", () => {
  const cases = [
    ['/*/baz/{*}', 'outside of an operator'],
    ['/**/baz/{*}', 'outside of an operator'],
    ['/{**}/foo/{*}', 'must be the last one'],
    ['/{**}/{**}', 'must be the last one'],
    ['/foo/{*}.txt', 'whole segments'],
    ['/foo{*}', 'whole segments'],
    ['/foo/{bar}/{*}', 'outside of an operator'],
    ['foo/{*}', 'must begin with "/"'],
    ['/foo//{*}', 'empty segment'],
  ] as const
  for (const [path, reason] of cases) {
    const template = parsePathTemplate(path)
    assert.ok(!template.ok && template.problem.includes(reason) && template.problem.includes(path), path)
  }
})
