import { INSIDE } from './packet-filter.ts'

/** The variables by which an isolated instance finds its sidecar; the port stands there, since not every client takes 80 for granted. */
export function insideEnvironment(): Record<string, string> {
  const url = `http://${INSIDE.sidecar}:${INSIDE.httpPort}`
  return {
    HTTP_PROXY: url,
    http_proxy: url,
    NO_PROXY: INSIDE.sidecar,
    no_proxy: INSIDE.sidecar,
    MAYFLY_URL: url,
  }
}
