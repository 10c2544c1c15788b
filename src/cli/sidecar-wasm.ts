import { fileURLToPath } from 'node:url'

/** The compiled guest, built by scripts/build-sidecar.ts. */
export function sidecarWasm(): string {
  return fileURLToPath(new URL('../../build/sidecar.wasm', import.meta.url))
}
