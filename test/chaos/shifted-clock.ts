// Loaded into a role before all else (node --import): its wall clock goes wrong by what a file says, in milliseconds.

import { readFileSync } from 'node:fs'

const file = process.env.CHAOS_CLOCK ?? ''
const now = Date.now.bind(Date)
const Real = Date
let shift = 0

const look = () => {
  try {
    shift = Number(readFileSync(file, 'utf8')) || 0
  } catch {
    // Nobody has set it wrong yet.
  }
}
look()
setInterval(look, 100).unref()

globalThis.Date = new Proxy(Real, {
  construct: (target, args) => Reflect.construct(target, args.length === 0 ? [now() + shift] : args),
  get: (target, name) => (name === 'now' ? () => now() + shift : Reflect.get(target, name)),
})
