import { z } from 'zod'
import { across, type CheckContext, mapping, report, text } from './fields.ts'
import { checkFieldName } from './kubernetes-name.ts'

/** How a text is matched: Istio's StringMatch. None of the three: the text only has to be there. */
export type StringMatch = z.output<typeof stringMatch>

const FORMS = ['exact', 'prefix', 'regex'] as const

const shape = { exact: text().optional(), prefix: text().optional(), regex: text().optional() }

/** A text that must match; one of `exact`, `prefix` and `regex`. */
export const stringMatch = across(mapping(shape), (value, context) => {
  if (Object.keys(value).length === 0) report(context, 'missing-field', `expected ${FORMS.join(' or ')}`)
  if (value.exact === '') report(context, 'bad-value', EMPTY, ['exact'])
  checkForms(value, context)
})

/** Matches by name; a match of none of the three forms asks whether there is such a name. */
export function stringMatches(checkName: (name: string) => string | null) {
  const one = across(mapping(shape), checkForms)
  return across(z.record(z.string(), one), (matches, context) => {
    for (const name of Object.keys(matches)) {
      const wrong = checkName(name)
      if (wrong) report(context, 'bad-value', wrong, [name])
    }
  })
}

/** The name of a field that a request may be matched by. */
export function checkMatchedField(name: string): string | null {
  const pseudo = /^:?(uri|path|scheme|method|authority)$/.exec(name)
  if (pseudo && name.startsWith(':'))
    return `has a field of its own: write ${pseudo[1]!.replace('path', 'uri')}`
  // Istio ignores these names; whoever writes them means the request line.
  if (pseudo && name !== 'path')
    return `is no header: Istio ignores it here; match the request's ${name} by the field ${name}`
  return checkFieldName(name)
}

function checkForms(value: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const forms = given(value)
  if (forms.length > 1) report(context, 'conflict', `has ${forms.join(' and ')}: keep one of them`)
  for (const form of ['prefix', 'regex']) {
    if (value[form] === '') report(context, 'bad-value', EMPTY, [form])
  }
}

function given(value: Readonly<Record<string, unknown>>): string[] {
  return FORMS.filter((form) => value[form] !== undefined)
}

const EMPTY = 'is empty: write what to match'
