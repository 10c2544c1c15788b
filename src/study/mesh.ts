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

/** What the mesh and its functions have used. CPU times and counts only grow: instances that have ended stay in them. */
export interface MeshUsage {
  /** Gateway, engines and control plane, without the functions. */
  readonly runtimeCpuMs: number
  readonly runtimeRssBytes: number
  /** All instances of all functions. */
  readonly functionsCpuMs: number
  readonly functionsRssBytes: number
  /** Sidecar phases run, each in a fresh sandbox. */
  readonly sandboxesRun: number
  readonly instancesStarted: number
  /** Whatever else the mesh counts; the report prints it as it is. */
  readonly [counter: string]: number
}

/** `off`: gateway and instances alone, no sidecar: the baseline. */
export const MESH = ['on', 'off'] as const
export type MeshMode = (typeof MESH)[number]

export type StartMesh = (
  manifests: string,
  options: { readonly mesh: MeshMode; readonly nodes?: number },
) => Promise<Mesh>
