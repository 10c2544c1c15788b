import { z } from 'zod'
import { across, type CheckContext, isMapping, mapping, report, word } from './fields.ts'
import { quote } from './kubernetes-name.ts'
import { type Manifest, manifest } from './manifest.ts'
import { metadata } from './metadata.ts'
import { selector } from './selector.ts'

/** Whether connections to the selected functions have to prove who calls: Istio's PeerAuthentication. */
export type PeerAuthentication = Manifest<
  'security.istio.io/v1' | 'security.istio.io/v1beta1',
  'PeerAuthentication',
  PeerAuthenticationSpec
>
export type PeerAuthenticationSpec = z.output<typeof peerAuthenticationSpec>
/** UNSET inherits from the next wider policy; a mesh without any is STRICT. */
export type MutualTlsMode = z.output<typeof mode>

const mode = word(['STRICT', 'PERMISSIVE', 'DISABLE', 'UNSET'])
const mutualTls = mapping({ mode: mode.default('UNSET') })

const portLevelMtls = across(z.record(z.string(), mutualTls), (ports, context) => {
  const names = Object.keys(ports)
  if (names.length === 0) report(context, 'bad-value', 'is empty: name a port, or remove the field')
  for (const name of names) {
    if (/^[1-9]\d{0,4}$/.test(name) && Number(name) <= 65_535) continue
    report(context, 'bad-value', `${quote(name)} is not a port: write a number from 1 to 65535`, [name])
  }
})

const peerAuthenticationSpec = across(
  mapping({
    selector: selector.optional(),
    mtls: mutualTls.optional(),
    portLevelMtls: portLevelMtls.optional(),
  }),
  checkSpec,
)

export const peerAuthenticationManifest = manifest(
  ['security.istio.io/v1', 'security.istio.io/v1beta1'],
  'PeerAuthentication',
  metadata(),
  peerAuthenticationSpec,
)

/** As Istio refuses it: a port is one of particular functions. */
function checkSpec(spec: Readonly<Record<string, unknown>>, context: CheckContext): void {
  if (spec.portLevelMtls === undefined) return
  const labels = isMapping(spec.selector) ? spec.selector.matchLabels : undefined
  if (isMapping(labels) && Object.keys(labels).length > 0) return
  report(context, 'conflict', 'needs a selector with matchLabels, whose functions the ports are of', [
    'portLevelMtls',
  ])
}
