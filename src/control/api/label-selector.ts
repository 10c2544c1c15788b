/** One requirement of a selector; all of them must hold. */
type Requirement =
  | { kind: 'in'; label: string; values: readonly string[] }
  | { kind: 'not-in'; label: string; values: readonly string[] }
  | { kind: 'exists'; label: string }
  | { kind: 'absent'; label: string }

export type LabelSelector = readonly Requirement[]

const NAME = '[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?'
const VALUE = '(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?'
const EQUALITY = new RegExp(`^(${NAME})\\s*(==|=|!=)\\s*(${VALUE})$`)
const SET = new RegExp(`^(${NAME})\\s+(in|notin)\\s*\\(([^()]*)\\)$`)
const PRESENCE = new RegExp(`^(!?)\\s*(${NAME})$`)

/** Reads a selector as kubectl writes them: "app=cart,tier!=test,team,!old,zone in (a, b)". "" selects everything. */
export function parseLabelSelector(
  text: string,
): { ok: true; selector: LabelSelector } | { ok: false; message: string } {
  const selector: Requirement[] = []
  for (const part of splitOutsideParentheses(text)) {
    const requirement = parseRequirement(part.trim())
    if (!requirement)
      return {
        ok: false,
        message: `${JSON.stringify(part.trim())} is no label requirement: write label=value, label!=value, label, !label, label in (a, b) or label notin (a, b)`,
      }
    selector.push(requirement)
  }
  return { ok: true, selector }
}

export function labelsMatch(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  return selector.every((requirement) => holds(requirement, labels))
}

function holds(requirement: Requirement, labels: Readonly<Record<string, string>>): boolean {
  const value = Object.hasOwn(labels, requirement.label) ? labels[requirement.label]! : null
  switch (requirement.kind) {
    case 'in':
      return value !== null && requirement.values.includes(value)
    case 'not-in':
      return value === null || !requirement.values.includes(value)
    case 'exists':
      return value !== null
    case 'absent':
      return value === null
  }
}

function splitOutsideParentheses(text: string): string[] {
  if (text.trim() === '') return []
  return text.split(/,(?![^(]*\))/)
}

function parseRequirement(part: string): Requirement | null {
  const equality = EQUALITY.exec(part)
  if (equality) {
    const [, label, operator, value] = equality
    return { kind: operator === '!=' ? 'not-in' : 'in', label: label!, values: [value!] }
  }
  const set = SET.exec(part)
  if (set) {
    const values = set[3]!.split(',').map((value) => value.trim())
    if (!values.every((value) => new RegExp(`^${VALUE}$`).test(value))) return null
    return { kind: set[2] === 'in' ? 'in' : 'not-in', label: set[1]!, values }
  }
  const presence = PRESENCE.exec(part)
  return presence ? { kind: presence[1] === '!' ? 'absent' : 'exists', label: presence[2]! } : null
}
