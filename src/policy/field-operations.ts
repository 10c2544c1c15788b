import { type FieldOperations, isAuthority } from '../api/field-operations.ts'
import {
  OPERATION_ADD,
  OPERATION_AUTHORITY,
  OPERATION_REMOVE,
  OPERATION_SET,
} from '../sidecar/layout/routes.ts'
import { block, listWords, type Part, textWords } from './block.ts'

/** The operations on fields of layout/routes.ts, in Envoy's order: what is removed first, then what is set and added. */
export function encodeFieldOperations(operations: FieldOperations | undefined): Part {
  if (!operations) return null
  const { set, add, remove } = operations
  const blocks = [
    ...remove.map((name) => operation(OPERATION_REMOVE, name, '')),
    ...Object.entries(set).map(([name, value]) =>
      operation(isAuthority(name) ? OPERATION_AUTHORITY : OPERATION_SET, name, value),
    ),
    ...Object.entries(add).map(([name, value]) => operation(OPERATION_ADD, name, value)),
  ]
  if (blocks.length === 0) return null
  const [count, all] = listWords(blocks)
  // The list stands directly behind its number.
  const out = Buffer.alloc(8 + all.length)
  out.writeUInt32LE(out.length, 0)
  out.writeUInt32LE(count, 4)
  all.copy(out, 8)
  return out
}

function operation(kind: number, name: string, value: string): Buffer {
  return block([kind, ...textWords(name.toLowerCase()), ...textWords(value.replaceAll('%%', '%'))])
}
