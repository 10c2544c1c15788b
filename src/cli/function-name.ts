import { answered, type MeshSource } from './mesh-source.ts'
import { fail } from './output.ts'

export interface KnownFunction {
  namespace: string
  name: string
  principal: string
  host: string | null
  egress: string | null
}

/** The function of a mesh that a user calls `text`: "namespace/name", or the name alone where it is the only one. */
export async function findFunction(source: MeshSource, text: string): Promise<KnownFunction> {
  const functions = answered(await source.status<KnownFunction[]>('functions'))
  const key = chooseKey(text, functions)
  if (!key.ok) fail(key.message)
  return functions.find((one) => keyOf(one) === key.key)!
}

export const keyOf = ({ namespace, name }: { namespace: string; name: string }): string =>
  `${namespace}/${name}`

export function chooseKey(
  text: string,
  functions: readonly { namespace: string; name: string }[],
): { ok: true; key: string } | { ok: false; message: string } {
  const found = functions.filter((one) => keyOf(one) === text || one.name === text)
  if (found.length === 1) return { ok: true, key: keyOf(found[0]!) }
  if (found.length > 1)
    return { ok: false, message: `${text} is in several namespaces: ${found.map(keyOf).join(', ')}` }
  const known = functions.map(keyOf).join(', ') || 'none'
  return { ok: false, message: `there is no function ${text}; there are: ${known}` }
}
