// What the names in an expression stand for: attributes, and fields of heads.

import type { Cel } from './cel.ts'
import { CEL_ATTRIBUTES, REFUSED_ATTRIBUTES, REFUSED_ROOTS } from './cel-attribute.ts'
import type { CelSyntax } from './cel-syntax.ts'
import { celProblem } from './cel-token.ts'
import { suggestion } from './nearest-name.ts'

/** What a name, a member or an index stands for. */
export function checkReference(syntax: CelSyntax): Cel {
  if (syntax.kind === 'index' || syntax.kind === 'member') {
    const head = headOf(syntax.of)
    if (head !== null && syntax.kind === 'member') return fieldOf(head, syntax.name, syntax.at)
    if (head !== null && syntax.kind === 'index') {
      if (syntax.index.kind !== 'text')
        celProblem(syntax.index.at, `write the field's name as text: ${head}.headers['x-name']`)
      return fieldOf(head, syntax.index.value, syntax.index.at)
    }
  }
  const name = pathOf(syntax)
  const root = name.split(/[.[]/)[0]!
  if (Object.hasOwn(CEL_ATTRIBUTES, name)) {
    const attribute = CEL_ATTRIBUTES[name]!
    if (attribute.field !== undefined) return fieldOf('request', attribute.field, syntax.at)
    return { op: 'attribute', type: attribute.type, name }
  }
  if (Object.hasOwn(REFUSED_ATTRIBUTES, name))
    celProblem(syntax.at, `${name} is refused: ${REFUSED_ATTRIBUTES[name]}`)
  if (Object.hasOwn(REFUSED_ROOTS, root)) celProblem(syntax.at, `${root} is refused: ${REFUSED_ROOTS[root]}`)
  if (name === 'request.headers' || name === 'response.headers')
    celProblem(
      syntax.at,
      `write ${name}['x-name'] for a field's value, 'x-name' in ${name} for whether it is there`,
    )
  const near = suggestion(name, Object.keys(CEL_ATTRIBUTES))
  return celProblem(
    syntax.at,
    `${name} is no attribute: ${near ? `did you mean ${near}?` : `known are ${Object.keys(CEL_ATTRIBUTES).join(', ')}, request.headers and response.headers`}`,
  )
}

/** Whose fields `request.headers` or `response.headers` are; null for all else. */
export function headOf(syntax: CelSyntax): 'request' | 'response' | null {
  if (syntax.kind !== 'member' || syntax.name !== 'headers' || syntax.of.kind !== 'name') return null
  const { name } = syntax.of
  return name === 'request' || name === 'response' ? name : null
}

function pathOf(syntax: CelSyntax): string {
  if (syntax.kind === 'name') return syntax.name
  if (syntax.kind === 'member') return `${pathOf(syntax.of)}.${syntax.name}`
  if (syntax.kind === 'index') return `${pathOf(syntax.of)}[...]`
  return celProblem(syntax.at, 'this has no members')
}

const PSEUDO: Readonly<Record<string, string>> = {
  ':method': 'request.method',
  ':path': 'request.path',
  ':authority': 'request.host',
  ':scheme': 'request.scheme',
}

/** A field by its name as written. */
export function fieldOf(head: 'request' | 'response', written: string, at: number): Cel {
  const name = written.toLowerCase()
  const pseudo = head === 'request' ? PSEUDO[name === 'host' ? ':authority' : name] : undefined
  if (pseudo !== undefined) return { op: 'attribute', type: 'text', name: pseudo }
  if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name))
    celProblem(at, `${JSON.stringify(written)} is not the name of a header`)
  return { op: 'field', type: 'text', head, name }
}
