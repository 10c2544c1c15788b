/** Something wrong with what a user gave the study: where it is, what was expected and what to do. */
export interface Problem {
  /** Stable, for scripts: `study/...`. */
  readonly code: string
  readonly message: string
  readonly file?: string
  /** 1 is the first line of the file. */
  readonly line?: number
  /** The column's name in a CSV file, or the option's name. */
  readonly field?: string
}

export type Checked<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly Problem[] }

export function refused(...problems: Problem[]): {
  readonly ok: false
  readonly problems: readonly Problem[]
} {
  return { ok: false, problems }
}

/** One line for people: `file:line: field: message (code)`. */
export function formatProblem(problem: Problem): string {
  const place =
    problem.file === undefined
      ? ''
      : `${problem.file}${problem.line === undefined ? '' : `:${problem.line}`}: `
  const field = problem.field === undefined ? '' : `${problem.field}: `
  return `${place}${field}${problem.message} (${problem.code})`
}
