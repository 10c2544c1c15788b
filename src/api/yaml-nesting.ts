import type { CST } from 'yaml'

/** What a file may still hold; `findExcess` takes from it. `depth` is a document's own. */
export type Allowance = { depth: number; nodes: number; documents: number }
export type Excess = { what: keyof Allowance; offset: number }

/**
 * The place where a token of the top level goes over the allowance. Asked before the token is composed into a document,
 * since composing recurses and takes memory.
 */
export function findExcess(token: CST.Token, left: Allowance): Excess | null {
  if (token.type !== 'document') return null
  if (--left.documents < 0) return { what: 'documents', offset: token.offset }
  const stack: Nested[] = [{ token, depth: 0 }]
  for (let next = stack.pop(); next; next = stack.pop()) {
    if (next.depth > left.depth) return { what: 'depth', offset: next.token.offset }
    if (--left.nodes < 0) return { what: 'nodes', offset: next.token.offset }
    pushInner(next, stack)
  }
  return null
}

type Nested = { token: CST.Token; depth: number }

function pushInner({ token, depth }: Nested, stack: Nested[]): void {
  if (token.type === 'document') {
    if (token.value) stack.push({ token: token.value, depth })
  } else if ('items' in token) {
    for (const { key, value } of token.items) {
      if (value) stack.push({ token: value, depth: depth + 1 })
      if (key) stack.push({ token: key, depth: depth + 1 })
    }
  }
}
