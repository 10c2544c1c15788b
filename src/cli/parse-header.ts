import { fail } from './output.ts'

/** A field as curl takes it: "name: value". */
export function parseHeader(text: string): [string, string] {
  const colon = text.indexOf(':')
  if (colon < 1 || /[\r\n\0]/.test(text)) fail(`-H ${JSON.stringify(text)}: expected "name: value"`, 2)
  return [text.slice(0, colon).trim(), text.slice(colon + 1).trim()]
}
