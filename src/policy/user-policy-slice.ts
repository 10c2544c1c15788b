// What an engine is told of the user policies of one function, beside the function's compiled policy.

/** A key of state, as it is found in a request. `field` and `claim` are indexes among the stage's own. */
export type StateKeySlice =
  | { readonly from: 'field' | 'claim'; readonly index: number }
  | { readonly from: 'principal' | 'clientAddress' | 'module' | 'constant' }

export interface UserStateSlice {
  readonly name: string
  /** The policy's and its own name, by which all engines know it: "namespace/policy/name". */
  readonly id: string
  readonly type: 'counter' | 'set' | 'lastWriter'
  readonly key: StateKeySlice
  readonly windowMs: number
  readonly scope: 'node' | 'cluster'
  readonly maxKeys: number
  readonly maxMembers: number
  readonly maxValueBytes: number
}

export interface UserPolicySlice {
  /** "namespace/name" */
  readonly name: string
  /** SHA-256 of the module's bytes, in hexadecimal. */
  readonly module: string
  readonly phases: readonly ('request' | 'response')[]
  /** SLOT_* of the attributes that it is told. */
  readonly slots: readonly number[]
  readonly direction: boolean
  readonly time: boolean
  /** Header fields of the request and of the response, and claims, that it is told of; in lower case. */
  readonly fields: readonly string[]
  readonly responseFields: readonly string[]
  readonly claims: readonly string[]
  readonly writesFields: readonly string[]
  readonly writesResponseFields: readonly string[]
  /** JSON; '' where the manifest has none. */
  readonly configuration: string
  readonly states: readonly UserStateSlice[]
  /** 0: as many as the module asks for. */
  readonly memoryPages: number
  readonly fuel: number
  readonly newInstance: boolean
  readonly allowsOnFailure: boolean
}

/** One stage: what the sidecar tells the engine, in the order of the need's slots, and which policies run. */
export interface UserStageSlice {
  readonly fields: readonly string[]
  readonly claims: readonly string[]
  /** Indexes in `policies`, in the order in which they run. */
  readonly run: readonly number[]
}

export interface UserPoliciesSlice {
  readonly policies: readonly UserPolicySlice[]
  /** By STAGE_* number. */
  readonly stages: readonly UserStageSlice[]
}
