// The examples of Istio's reference through the real guest.

import { describe, test } from 'node:test'
import { meshConfig, policy, table } from './authorization-world.ts'

describe("the examples of Istio's reference", () => {
  const example = (spec: string) => policy(spec, { name: 'httpbin' })

  test('sources, operations and a token that is not there yet', () => {
    const rule = (when: string) => `{rules: [{
      from: [{source: {principals: [cluster.local/ns/default/sa/sleep]}}, {source: {namespaces: [test]}}],
      to: [{operation: {methods: [GET], paths: ["/info*"]}}, {operation: {methods: [POST], paths: [/data]}}]${when}}]}`
    const sleep = 'cluster.local/ns/default/sa/sleep'
    table(example(rule('')), [
      [true, { peer: sleep, path: '/info' }],
      [true, { peer: sleep, path: '/information?x=1' }],
      [true, { peer: 'cluster.local/ns/test/sa/any', method: 'POST', path: '/data' }],
      [false, { peer: sleep, method: 'POST', path: '/info' }],
      [false, { peer: sleep, path: '/data' }],
      [false, { peer: 'cluster.local/ns/default/sa/other', path: '/info' }],
      [false, { path: '/info' }],
    ])
    const google = ', when: [{key: "request.auth.claims[iss]", values: ["https://accounts.google.com"]}]'
    table(example(rule(google)), [[false, { peer: sleep, path: '/info' }]])
  })

  test('deny POST from a namespace', () => {
    const yaml =
      policy('{rules: [{}]}', { name: 'all' }) +
      example(
        '{action: DENY, rules: [{from: [{source: {namespaces: [dev]}}], to: [{operation: {methods: [POST]}}]}]}',
      )
    table(yaml, [
      [false, { peer: 'cluster.local/ns/dev/sa/a', method: 'POST' }],
      [true, { peer: 'cluster.local/ns/dev/sa/a' }],
      [true, { peer: 'cluster.local/ns/dev2/sa/a', method: 'POST' }],
      [true, { method: 'POST' }],
    ])
  })

  test('fields AND, values OR, negation', () => {
    const yaml = example(
      '{rules: [{from: [{source: {principals: [admin, dev], notIpBlocks: ["203.0.113.4"]}}], to: [{operation: {hosts: ["*.example.com"], methods: [GET, HEAD], notPaths: ["/admin*"]}}]}]}',
    )
    const question = { peer: 'dev', authority: 'www.example.com' }
    table(yaml, [
      [true, question],
      [true, { ...question, peer: 'admin', method: 'HEAD' }],
      [false, { ...question, peer: 'ops' }],
      [false, { ...question, sourceIp: '203.0.113.4' }],
      [false, { ...question, authority: 'example.com' }],
      [false, { ...question, method: 'POST' }],
      [false, { ...question, path: '/administrator' }],
    ])
  })

  test('path templates', () => {
    const paths = (...list: string[]) =>
      policy(`{rules: [{to: [{operation: {paths: ${JSON.stringify(list)}}}]}]}`)
    table(paths('/foo/{*}'), [
      [true, { path: '/foo/bar' }],
      [false, { path: '/foo/bar/baz' }],
      [false, { path: '/foo/' }],
      [true, { path: '/foo/a=b' }],
    ])
    table(paths('/foo/{**}/'), [
      [true, { path: '/foo/bar/' }],
      [true, { path: '/foo//' }],
      [false, { path: '/foo/bar' }],
    ])
    table(paths('/foo/{*}/bar/{**}'), [
      [true, { path: '/foo/buzz/bar/' }],
      [true, { path: '/foo/buzz/bar/baz' }],
      [true, { path: '/foo/buzz/bar/baz/x' }],
      [false, { path: '/foo/buzz/bar' }],
      [false, { path: '/foo/a/b/bar/' }],
    ])
    const long = 'a'.repeat(31)
    table(paths('/{*}/{*}/c', '/{*}/d'), [
      [true, { path: `/${long}/b/c` }],
      [true, { path: `/${long}/d` }],
      [false, { path: `/${long}/b/d` }],
    ])
    table(paths('/{**}/a/b', '/x'), [
      [true, { path: '/1/2/a/b' }],
      [false, { path: '/a/b/c' }],
      [true, { path: '/x' }],
    ])
  })

  test('selectors and the root namespace', () => {
    const v1 = (namespace: string, label: string) =>
      policy(`{selector: {matchLabels: {${label}}}, rules: [{}]}`, { name: 'allow', namespace })
    table(v1('shop', 'version: v1'), [[true, {}]])
    table(v1('shop', 'version: v2'), [[false, {}]])
    table(v1('shop', 'version: v1, app: other'), [[false, {}]])
    table(v1('shop', 'serving.knative.dev/service: payment'), [[true, {}]])
    table(v1('mayfly-system', 'version: v1'), [[true, {}]])
    table(v1('other', 'version: v1'), [[false, {}]])
    table(meshConfig('{rootNamespace: istio-system}') + v1('istio-system', 'app: httpbin'), [[true, {}]])
  })
})
