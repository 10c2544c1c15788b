/** Lines around a change that are shown with it. */
const CONTEXT = 3
/** Beyond so many pairs of lines the texts are shown as wholly different: the comparison would take too much memory. */
const MOST_PAIRS = 25_000_000

type Edit = { kind: ' ' | '-' | '+'; line: string }

/** What differs between two texts, as `diff -u` writes it; '' where nothing does. */
export function unifiedDiff(beforeName: string, before: string, afterName: string, after: string): string {
  if (before === after) return ''
  const edits = compare(linesOf(before), linesOf(after))
  const hunks = hunksOf(edits).map(formatHunk)
  return [`--- ${beforeName}`, `+++ ${afterName}`, ...hunks].join('\n')
}

function linesOf(text: string): string[] {
  if (text === '') return []
  return text.replace(/\n$/, '').split('\n')
}

/** The fewest lines taken away and added, by their longest common subsequence. */
function compare(a: readonly string[], b: readonly string[]): Edit[] {
  let start = 0
  while (start < a.length && start < b.length && a[start] === b[start]) start++
  let end = 0
  while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) end++
  const same = (line: string): Edit => ({ kind: ' ', line })
  return [
    ...a.slice(0, start).map(same),
    ...compareMiddle(a.slice(start, a.length - end), b.slice(start, b.length - end)),
    ...a.slice(a.length - end).map(same),
  ]
}

function compareMiddle(a: readonly string[], b: readonly string[]): Edit[] {
  const removed = (line: string): Edit => ({ kind: '-', line })
  const added = (line: string): Edit => ({ kind: '+', line })
  if (a.length * b.length > MOST_PAIRS) return [...a.map(removed), ...b.map(added)]
  const width = b.length + 1
  // common[i * width + j]: lines that a from i on and b from j on have in common.
  const common = new Uint32Array((a.length + 1) * width)
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i * width + j] =
        a[i] === b[j]
          ? common[(i + 1) * width + j + 1]! + 1
          : Math.max(common[(i + 1) * width + j]!, common[i * width + j + 1]!)
    }
  }
  const edits: Edit[] = []
  let i = 0
  let j = 0
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      edits.push({ kind: ' ', line: a[i]! })
      i++
      j++
    } else if (
      j === b.length ||
      (i < a.length && common[(i + 1) * width + j]! >= common[i * width + j + 1]!)
    ) {
      edits.push(removed(a[i++]!))
    } else {
      edits.push(added(b[j++]!))
    }
  }
  return edits
}

interface Hunk {
  /** Lines of either text before it. */
  before: number
  after: number
  edits: Edit[]
}

function hunksOf(edits: readonly Edit[]): Hunk[] {
  const shown = edits.map((_, i) =>
    edits.slice(Math.max(0, i - CONTEXT), i + CONTEXT + 1).some(({ kind }) => kind !== ' '),
  )
  const hunks: Hunk[] = []
  let before = 0
  let after = 0
  edits.forEach((edit, i) => {
    if (shown[i]) {
      if (!shown[i - 1]) hunks.push({ before, after, edits: [] })
      hunks.at(-1)!.edits.push(edit)
    }
    if (edit.kind !== '+') before++
    if (edit.kind !== '-') after++
  })
  return hunks
}

function formatHunk({ before, after, edits }: Hunk): string {
  const range = (start: number, other: Edit['kind']) => {
    const count = edits.filter(({ kind }) => kind !== other).length
    // POSIX: an empty range is named by the line before it, a range of one line by that alone.
    const first = count === 0 ? start : start + 1
    return count === 1 ? String(first) : `${first},${count}`
  }
  const lines = edits.map(({ kind, line }) => `${kind}${line}`)
  return [`@@ -${range(before, '+')} +${range(after, '-')} @@`, ...lines].join('\n')
}
