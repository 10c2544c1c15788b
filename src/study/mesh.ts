/** What a replay needs of the mesh under study; src/cli makes it from the whole runtime. */
export interface Mesh {
  /** Where the gateway listens: `http://127.0.0.1:8080`. */
  readonly gateway: string
  /** The Host field that reaches a function, by its key `namespace/name`. */
  host(functionKey: string): string
  usage(): Promise<MeshUsage>
  /** Ends the gateway and every instance. */
  stop(): Promise<void>
}

/**
 * What the mesh and its functions have used; null: the mesh cannot tell. CPU times and counts only grow: instances that have
 * ended stay in them.
 */
export interface MeshUsage {
  /** Gateway, engines and control plane, without the functions. */
  readonly runtimeCpuMs: number | null
  readonly runtimeRssBytes: number | null
  /** All instances of all functions. */
  readonly functionsCpuMs: number | null
  readonly functionsRssBytes: number | null
  /** Sidecar phases run, each in a fresh sandbox. */
  readonly sandboxesRun: number | null
  readonly instancesStarted: number | null
  /** Whatever else the mesh counts; the report prints it as it is. */
  readonly [counter: string]: number | null
}

/** `off`: gateway and instances alone, no sidecar: the baseline. */
export const MESH = ['on', 'off'] as const
export type MeshMode = (typeof MESH)[number]

/** Where the mesh under study runs. */
export interface Place {
  /** An address of this machine that the mesh reaches: it sends its spans there. */
  readonly collectorHost: string
  /** Where the mesh writes its access log; null: beside the report. */
  readonly accessLog: string | null
  /** What a reader of the figures has to know of it. */
  readonly notes: readonly string[]
}

/** The mesh that a replay starts itself. */
export const THIS_MACHINE: Place = { collectorHost: '127.0.0.1', accessLog: null, notes: [] }

export type StartMesh = (
  manifests: string,
  options: { readonly mesh: MeshMode; readonly nodes?: number },
) => Promise<Mesh>
