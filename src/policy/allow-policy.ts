import { createHash } from 'node:crypto'
import { stringify } from 'yaml'
import type { FunctionSpec } from '../api/function-spec.ts'
import { SERVICE_LABEL } from '../api/service.ts'

/** The AuthorizationPolicy, as YAML, that permits `caller` to call `callee` in every way. */
export function allowPolicyYaml(caller: FunctionSpec, callee: FunctionSpec): string {
  return stringify({
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: policyName(caller, callee), namespace: callee.namespace },
    spec: {
      selector: { matchLabels: { [SERVICE_LABEL]: callee.name } },
      action: 'ALLOW',
      rules: [{ from: [{ source: { principals: [caller.principal] } }] }],
    },
  })
}

/** Longest name that is valid wherever a name may stand: a DNS label's. */
const MOST_NAME = 63
const HASH_DIGITS = 8

function policyName(caller: FunctionSpec, callee: FunctionSpec): string {
  const from = caller.namespace === callee.namespace ? caller.name : `${caller.namespace}-${caller.name}`
  const name = `${callee.name}-allows-${from}`
  if (name.length <= MOST_NAME) return name
  const hash = createHash('sha256').update(`${caller.key} ${callee.key}`).digest('hex').slice(0, HASH_DIGITS)
  return `${name.slice(0, MOST_NAME - HASH_DIGITS - 1)}-${hash}`
}
