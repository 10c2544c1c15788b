import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HEADER } from './example-module.ts'
import { proveModule } from './prove-module.ts'
import type { RefusalCode } from './refusal.ts'

/** Tests that `module` is refused for `code`, at the place of the bytes `found` in it. */
export function refused(
  breaks: string,
  code: RefusalCode,
  module: Uint8Array,
  found?: readonly number[],
): void {
  breaksRule('refused', breaks, code, module, found)
}

/** Tests that `module` is fit for new instances only, for the reason `code`, at the place of the bytes `found` in it. */
export function unproved(
  breaks: string,
  code: RefusalCode,
  module: Uint8Array,
  found?: readonly number[],
): void {
  breaksRule('unproved', breaks, code, module, found)
}

function breaksRule(
  verdict: 'refused' | 'unproved',
  breaks: string,
  code: RefusalCode,
  module: Uint8Array,
  found: readonly number[] | undefined,
): void {
  test(`${verdict}: ${breaks}`, () => {
    const proof = proveModule(module)
    if (proof.verdict === 'proved') assert.fail('it is proved')
    assert.equal(proof.verdict, verdict, proof.why.message)
    assert.equal(proof.why.code, code, proof.why.message)
    assert.match(proof.why.message, new RegExp(`^byte ${proof.why.offset}: .{20,}`))
    if (found === undefined) return
    const offset = Buffer.from(module).indexOf(Buffer.from(found), HEADER.length)
    assert.equal(proof.why.offset, offset, proof.why.message)
  })
}
