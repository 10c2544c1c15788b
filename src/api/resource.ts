import type { z } from 'zod'
import { type AuthorizationPolicy, authorizationPolicyManifest } from './authorization-policy.ts'
import { type DestinationRule, destinationRuleManifest } from './destination-rule.ts'
import { defaultMeshConfig, type MeshConfig, type MeshConfigSpec, meshConfigManifest } from './mesh-config.ts'
import { type PeerAuthentication, peerAuthenticationManifest } from './peer-authentication.ts'
import { type RateLimitPolicy, rateLimitPolicyManifest } from './rate-limit-policy.ts'
import { type RequestAuthentication, requestAuthenticationManifest } from './request-authentication.ts'
import { type Service, serviceManifest } from './service.ts'
import { type Sidecar, sidecarManifest } from './sidecar.ts'
import { type Telemetry, telemetryManifest } from './telemetry.ts'
import { type VirtualService, virtualServiceManifest } from './virtual-service.ts'
import { type WasmPolicy, wasmPolicyManifest } from './wasm-policy.ts'

/** Anything that users write. */
export type Resource =
  | Service
  | AuthorizationPolicy
  | PeerAuthentication
  | RequestAuthentication
  | Sidecar
  | Telemetry
  | RateLimitPolicy
  | MeshConfig
  | DestinationRule
  | VirtualService
  | WasmPolicy
export type Kind = Resource['kind']

/** Each kind with the apiVersions under which it may be written and its schema. */
export const KINDS: Record<Kind, { group: string; schema: z.ZodType }> = {
  Service: { group: 'serving.knative.dev', schema: serviceManifest },
  AuthorizationPolicy: { group: 'security.istio.io', schema: authorizationPolicyManifest },
  PeerAuthentication: { group: 'security.istio.io', schema: peerAuthenticationManifest },
  RequestAuthentication: { group: 'security.istio.io', schema: requestAuthenticationManifest },
  Sidecar: { group: 'networking.istio.io', schema: sidecarManifest },
  Telemetry: { group: 'telemetry.istio.io', schema: telemetryManifest },
  RateLimitPolicy: { group: 'mayfly.dev', schema: rateLimitPolicyManifest },
  VirtualService: { group: 'networking.istio.io', schema: virtualServiceManifest },
  DestinationRule: { group: 'networking.istio.io', schema: destinationRuleManifest },
  WasmPolicy: { group: 'mayfly.dev', schema: wasmPolicyManifest },
  MeshConfig: { group: 'mayfly.dev', schema: meshConfigManifest },
}

/** The resources of one kind. */
export function ofKind<K extends Kind>(
  resources: readonly Resource[],
  kind: K,
): Extract<Resource, { kind: K }>[] {
  return resources.filter((resource): resource is Extract<Resource, { kind: K }> => resource.kind === kind)
}

/** The configuration of the mesh that these resources make up. */
export function meshConfigOf(resources: readonly Resource[]): MeshConfigSpec {
  return ofKind(resources, 'MeshConfig')[0]?.spec ?? defaultMeshConfig
}
