import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readManifests } from '../src/api/read-manifests.ts'
import { ofKind } from '../src/api/resource.ts'
import { termsOf } from '../src/dataplane/user-policies.ts'
import { newUserPolicyCounters, UserPolicyChain } from '../src/dataplane/user-policy-chain.ts'
import { loadUserModule } from '../src/dataplane/user-policy-module.ts'
import { stageKey } from '../src/dataplane/user-policy-testing.ts'
import { singlePolicySlice } from '../src/policy/user-policies.ts'
import { STAGE_BEFORE } from '../src/sidecar/layout/user-policies.ts'
import { OPERATION_SET } from '../src/sidecar/layout/user-policy.ts'
import { UserStates } from '../src/state/user-state.ts'

const example = join(import.meta.dirname, '..', 'examples/policies/user/api-key')

/** Answers what a sidecar asks about the API-key example, in a fresh sandbox each time: the key is right, a field is set, one removed. */
export function prepareUserPolicy(): () => void {
  const path = join(example, 'policy.yaml')
  const read = readManifests([{ path, text: readFileSync(path, 'utf8') }])
  if (!read.ok) throw new Error(JSON.stringify(read.errors))
  const policy = ofKind(read.resources, 'WasmPolicy')[0]!
  const bytes = readFileSync(join(example, policy.spec.module.file))
  const slice = singlePolicySlice(policy, createHash('sha256').update(bytes).digest('hex'))
  const loaded = loadUserModule(bytes, termsOf(slice.policies[0]!))
  if (!loaded.ok) throw new Error(loaded.refusal.message)
  const inUse = { module: loaded.module, sandbox: loaded.module.sandbox() }
  const chain = new UserPolicyChain(slice, [inUse], new UserStates(''), newUserPolicyCounters())
  const key = stageKey(STAGE_BEFORE, slice.stages[STAGE_BEFORE]!, {
    headers: { 'x-api-key': '3f786850e387550f' },
  })
  return () => {
    const answer = chain.answer(key)
    // Denied is 1; the first operation's kind lies behind the block's length.
    if (answer.readUInt32LE(0) !== 0 || answer.readUInt8(36) !== OPERATION_SET) {
      throw new Error(`the policy answered ${answer.toString('hex')}`)
    }
  }
}
