import type { Sandbox, SandboxModule } from './sandbox.ts'

interface Shelf {
  readonly idle: Sandbox[]
  out: number
}

/**
 * One thread's sandboxes, by module. A phase runs to completion, so there are as many of a module as phases nest, which
 * is one or two: memory does not grow with the requests in flight. A module that nobody else holds takes its sandboxes with it.
 */
export class SandboxPool {
  readonly #shelves = new WeakMap<SandboxModule, Shelf>()
  readonly #most: number

  /** `most`: how many sandboxes of one module may be out at once; each reserves 8 GiB of address space. */
  constructor(most = 8) {
    this.#most = most
  }

  /** A sandbox of `module`, in any state: call `fresh` before use, and `give` it back. */
  take(module: SandboxModule): Sandbox {
    let shelf = this.#shelves.get(module)
    if (shelf === undefined) {
      shelf = { idle: [], out: 0 }
      this.#shelves.set(module, shelf)
    }
    if (shelf.out >= this.#most) {
      throw new Error(
        `${shelf.out} sandboxes of one module are out, the most allowed: give back what take returns`,
      )
    }
    const sandbox = shelf.idle.pop() ?? module.sandbox()
    shelf.out++
    return sandbox
  }

  give(sandbox: Sandbox): void {
    const shelf = this.#shelves.get(sandbox.module)
    if (shelf === undefined || shelf.out === 0 || shelf.idle.includes(sandbox)) {
      throw new Error('a sandbox was given back that is not out: give back each sandbox once')
    }
    shelf.out--
    shelf.idle.push(sandbox)
  }
}
