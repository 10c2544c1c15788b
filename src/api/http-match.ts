import { z } from 'zod'
import { filledList, integer, mapping, text, unsupported } from './fields.ts'
import { checkDnsLabel, quote } from './kubernetes-name.ts'
import { qualifiedMap } from './metadata.ts'
import { checkSelected } from './selector.ts'
import { checkMatchedField, stringMatch, stringMatches } from './string-match.ts'

/** Which requests a route takes: Istio's HTTPMatchRequest. All that it says must hold. */
export type HttpMatch = z.output<typeof httpMatch>

/** Istio's name for the sidecars of a mesh among `gateways`. */
export const MESH_GATEWAY = 'mesh'
/** The gateway that clients from outside come by, in the root namespace. */
export const INGRESS_GATEWAY = 'mayfly-gateway'

/** Gateways that a VirtualService or one of its matches is for. */
export const gateways = filledList(text(checkGateway), 16)

const fields = stringMatches(checkMatchedField).optional()

export const httpMatch = mapping({
  name: text(checkRouteName).optional(),
  uri: stringMatch.optional(),
  ignoreUriCase: z.boolean().optional(),
  scheme: stringMatch.optional(),
  method: stringMatch.optional(),
  authority: stringMatch.optional(),
  headers: fields,
  withoutHeaders: fields,
  queryParams: stringMatches(checkQueryParameter).optional(),
  port: integer(1, 65_535).optional(),
  sourceLabels: qualifiedMap(checkSelected).optional(),
  sourceNamespace: text(checkDnsLabel).optional(),
  gateways: gateways.optional(),
  statPrefix: unsupported(
    'statistics are not kept by route: remove the field, and see %ROUTE_NAME% in access logs',
  ),
})

/** A route's or match's name, as it stands in access logs. */
export function checkRouteName(value: string): string | null {
  if (value === '') return 'is empty: write a name, or remove the field'
  return /^[\x21-\x7e]{1,255}$/.test(value)
    ? null
    : `${quote(value)} is no name: use at most 255 visible ASCII characters`
}

function checkGateway(value: string): string | null {
  if (value === MESH_GATEWAY) return null
  const name = value.slice(value.lastIndexOf('/') + 1)
  return name === INGRESS_GATEWAY
    ? null
    : `${quote(value)} does not exist: write ${MESH_GATEWAY} (calls from inside) or ${INGRESS_GATEWAY} (requests from outside)`
}

function checkQueryParameter(name: string): string | null {
  return /^[^&=#\s]+$/.test(name)
    ? null
    : `${quote(name)} cannot be the name of a query parameter as it stands in a URL`
}
