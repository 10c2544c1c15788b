// How an admitted request reaches its instance: directly where that is on this node, else over mutual TLS by way of its
// node's engine.

import type { Endpoint } from '../endpoint-set.ts'
import type { EngineContext } from '../engine-context.ts'
import { withHop } from '../hop.ts'
import type { EndpointSource } from '../hosted-instances.ts'
import type { NodeLink } from '../node-link.ts'
import type { ConnectionFacts } from '../sidecar.ts'
import type { Admitted } from './admission.ts'

/** The line of a reply by which an engine tells the sender that the instance was not reached. */
export const UNDELIVERED = 'x-mayfly-undelivered: 1\r\n'

/** From where the request's instance comes: those that this engine may choose among, or the one that the sender chose. */
export function endpointSource({ callee, instance }: Admitted): EndpointSource {
  return instance === null ? callee.endpoints : callee.hosted.source(instance)
}

/** The link to the instance's node; null where the instance is on this one. */
export function linkTo(
  engine: EngineContext,
  { caller, callee, plaintext }: Admitted,
  endpoint: Endpoint,
): NodeLink | null {
  const { node, functions } = engine
  if (endpoint.node === null || !node) return null
  // A caller that was deleted in the meantime has no identity any more.
  return node.link(plaintext ? node.nodePrincipal : callerOf(), callee.slice, endpoint.node)

  function callerOf(): string {
    return caller === null ? node!.gatewayPrincipal : (functions.get(caller)?.slice.principal ?? '')
  }
}

/** The head as it goes to the instance's node; `facts` are those of the client's connection. */
export function headTo(
  endpoint: Endpoint,
  head: Buffer,
  facts: ConnectionFacts,
  caller: string | null,
): Buffer {
  return withHop(head, { instance: endpoint.id, facts, caller })
}
