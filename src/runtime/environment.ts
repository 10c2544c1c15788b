import type { Instance } from './instance.ts'
import { INSTANCE_VARIABLE, RUN_VARIABLE } from './keeper.ts'

/** What an instance's environment is made of. */
export type EnvironmentParts = {
  instance: Instance
  /** The function's name: Knative's service and configuration. */
  name: string
  /** From the manifest. */
  env: readonly { name: string; value: string }[]
  /** Null where the program chooses the port itself and says which. */
  port: number | null
  run: string
  /** The mesh's own variables for this instance (HTTP_PROXY, MAYFLY_URL and the like). */
  mesh: Readonly<Record<string, string>>
  /** It is a user of its own, who has no home and must not use the mesh process's folders. */
  isolated?: boolean
}

/**
 * The environment by Knative's container contract. Of the mesh process's own environment only what a program needs to
 * run at all is passed on, so that what an operator's shell holds (credentials, tokens) stays there.
 */
export function instanceEnvironment(parts: EnvironmentParts): Record<string, string> {
  const environment = inheritedEnvironment()
  if (parts.isolated) {
    environment.HOME = '/'
    delete environment.TMPDIR
  }
  for (const { name, value } of parts.env) environment[name] = expand(value, environment)
  // Node's own fetch and http honour the proxy variables only when told to; other languages' clients do by themselves.
  if (parts.mesh.HTTP_PROXY !== undefined) environment.NODE_USE_ENV_PROXY = '1'
  Object.assign(environment, parts.mesh)
  if (parts.port !== null) environment.PORT = String(parts.port)
  environment.K_SERVICE = parts.name
  environment.K_CONFIGURATION = parts.name
  environment.K_REVISION = parts.instance.revision
  environment.MAYFLY_FUNCTION = parts.instance.function
  environment[INSTANCE_VARIABLE] = parts.instance.id
  environment[RUN_VARIABLE] = parts.run
  return environment
}

/** What every program is passed of the mesh process's own environment. */
export function inheritedEnvironment(): Record<string, string> {
  const environment: Record<string, string> = {}
  for (const name of INHERITED) {
    const value = process.env[name]
    if (value !== undefined) environment[name] = value
  }
  return environment
}

/** Kubernetes' `$(NAME)` in commands, arguments and values; `$$` is a dollar sign; an unknown name stays as it is written. */
export function expand(text: string, environment: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)/g, (whole, name: string | undefined) => {
    if (name === undefined) return '$'
    return Object.hasOwn(environment, name) ? environment[name]! : whole
  })
}

const INHERITED = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR']
