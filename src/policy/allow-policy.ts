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

/** Longest name of a resource: a DNS subdomain. */
const MOST_NAME = 253

function policyName(caller: FunctionSpec, callee: FunctionSpec): string {
  const from = caller.namespace === callee.namespace ? caller.name : `${caller.namespace}-${caller.name}`
  return `${callee.name}-allows-${from}`.slice(0, MOST_NAME).replace(/[-.]+$/, '')
}
