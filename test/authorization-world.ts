// A function `shop/payment` and its policies, judged by the real guest.

import assert from 'node:assert/strict'
import { compileWorld, Judge, type Judged, type Question, readWorld } from './sidecar-judge.ts'

const PAYMENT = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: payment, namespace: shop}
spec: {template: {metadata: {labels: {app: httpbin, version: v1}}, spec: {containers: [{image: 'endpoint:127.0.0.1:9001'}]}}}
`
export const CART = 'cluster.local/ns/shop/sa/cart'

const judge = await Judge.load()

/** An AuthorizationPolicy in the function's namespace; `spec` is YAML in flow style. */
export function policy(spec: string, { name = 'p', namespace = 'shop' } = {}): string {
  const metadata = `{name: ${name}, namespace: ${namespace}}`
  return `\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: ${metadata}\nspec: ${spec}\n`
}

export function meshConfig(spec: string): string {
  return `\n---\napiVersion: mayfly.dev/v1\nkind: MeshConfig\nmetadata: {name: mesh}\nspec: ${spec}\n`
}

/** Judges one request. */
export function ask(yaml: string, question: Question): Judged {
  const [judged] = askAll(yaml, [question])
  return judged!
}

/** Judges several requests by the same policies. */
export function askAll(yaml: string, questions: readonly Question[]): Judged[] {
  const { world, fn } = readWorld(PAYMENT + yaml, 'shop/payment')
  const policy = compileWorld(world, fn)
  return questions.map((question) => judge.judge(policy, fn, question))
}

/** Each question with whether it is allowed. */
export function table(yaml: string, cases: readonly (readonly [boolean, Question])[]): void {
  const judged = askAll(
    yaml,
    cases.map(([, question]) => question),
  )
  for (const [index, [allowed, question]] of cases.entries()) {
    assert.equal(judged[index]!.allowed, allowed, JSON.stringify(question))
  }
}
