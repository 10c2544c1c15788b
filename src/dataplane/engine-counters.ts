/** What an engine counts; every bound that is hit and every refusal has its counter. They only grow, but the gauges. */
export function newCounters() {
  return {
    connections: 0,
    connectionsOpen: 0,
    connectionsRefused: 0,
    requests: 0,
    requestsInFlight: 0,
    requestsOverLimit: 0,
    /** A gauge as well: requests that wait for what their sidecars need. */
    requestsWaiting: 0,
    needsFailed: 0,
    responses2xx: 0,
    responses3xx: 0,
    responses4xx: 0,
    responses5xx: 0,
    headsRefused: 0,
    headsTimedOut: 0,
    hostsUnknown: 0,
    denied: 0,
    sidecarsFailed: 0,
    queueFull: 0,
    startsFailed: 0,
    upstreamConnectFailed: 0,
    upstreamAborted: 0,
    upstreamResent: 0,
    /** Further attempts by a retry policy, and attempts that took longer than it allows. */
    upstreamRetried: 0,
    attemptsTimedOut: 0,
    /** Requests that fault injection held back. */
    requestsDelayed: 0,
    noneHealthy: 0,
    /** Copies of requests: a gauge, those sent, those left out. */
    mirrorsInFlight: 0,
    mirrored: 0,
    mirrorsDropped: 0,
    upstreamBad: 0,
    outliersEjected: 0,
    outliersKept: 0,
    bodiesBad: 0,
    clientsAborted: 0,
    timedOut: 0,
    streamsIdle: 0,
    upgraded: 0,
    pipelinePaused: 0,
    logLinesDropped: 0,
    /** Whole handshakes and resumed ones, of either side; those that failed; peers whose certificate does not count. */
    tlsHandshakes: 0,
    tlsResumed: 0,
    tlsHandshakesFailed: 0,
    tlsPeersRefused: 0,
    /** Connections without TLS at the node's own address. */
    plaintextAccepted: 0,
    nodeLinksDropped: 0,
  }
}

export type EngineCounters = ReturnType<typeof newCounters>
