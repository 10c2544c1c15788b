import type { Redirect, Rewrite } from '../api/http-route.ts'
import { PIECE_TEXT } from '../sidecar/layout/routes.ts'
import { block, listWords, type Part, textWords, type Word } from './block.ts'
import { compileSearch } from './regular-expression.ts'
import { RouteRefusal } from './route-problem.ts'

/** The rewrite block of layout/routes.ts. `field` is where the rewrite is written; throws RouteRefusal. */
export function encodeRewrite(rewrite: Rewrite | undefined, field: string): Part {
  if (!rewrite) return null
  const { uri, authority, uriRegexRewrite } = rewrite
  const search: Word[] = [null, 0, null]
  if (uriRegexRewrite) {
    const compiled = compileSearch(uriRegexRewrite.match)
    if (!compiled.ok) throw new RouteRefusal(`${field}.uriRegexRewrite.match`, compiled.error)
    search[0] = compiled.bytes
    const pieces = substitution(uriRegexRewrite.rewrite, compiled.groups, `${field}.uriRegexRewrite.rewrite`)
    search.splice(1, 2, ...listWords(pieces))
  }
  return block([...textWords(uri ?? ''), ...textWords(authority ?? ''), ...search])
}

/** The words of a redirect (layout/routes.ts) behind those that all actions have. */
export function redirectWords({ uri, authority, scheme, port, derivePort, redirectCode }: Redirect): Word[] {
  return [
    redirectCode,
    ...textWords(scheme ?? ''),
    ...textWords(authority ?? ''),
    ...textWords(port === undefined ? '' : `:${port}`),
    ...textWords(uri ?? ''),
    derivePort === 'FROM_REQUEST_PORT' ? 1 : 0,
  ]
}

/** RE2's substitution: "\1" stands for a group, "\0" for the whole, "\\" for itself. */
function substitution(text: string, groups: number, field: string): Buffer[] {
  if (!/^[!$-;=@-~]*$/.test(text))
    throw new RouteRefusal(field, 'a path holds visible ASCII characters only: write others as %XX')
  const pieces: Buffer[] = []
  for (const [part, digit] of text.matchAll(/\\(.?)|[^\\]+/g)) {
    if (digit === undefined) pieces.push(block([PIECE_TEXT, ...textWords(part)]))
    else if (digit === '\\') pieces.push(block([PIECE_TEXT, ...textWords('\\')]))
    else if (!/\d/.test(digit))
      throw new RouteRefusal(field, '"\\" stands before the number of a group or another "\\"')
    else if (Number(digit) > groups)
      throw new RouteRefusal(field, `"\\${digit}" is no group: the expression has ${groups}`)
    else pieces.push(block([Number(digit), 0, 0]))
  }
  return pieces
}
