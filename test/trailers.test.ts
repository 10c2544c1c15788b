// Trailer sections through the real guest: golden/trailers.txt.

import { join } from 'node:path'
import { DIRECTION_INGRESS } from '../src/sidecar/layout/record.ts'
import { goldenTests, showBytes } from './golden-cases.ts'
import { realSidecars } from './sidecar-phases.ts'

const sidecars = await realSidecars()

goldenTests(join(import.meta.dirname, 'golden/trailers.txt'), ({ input }) => {
  const sent = sidecars.trailers(input, DIRECTION_INGRESS)
  return sent === null ? 'refused' : showBytes(sent)
})
