import { execFileSync } from 'node:child_process'

/** Machines of a cluster as network namespaces, joined by a bridge that this process is on as well. */
export class Network {
  readonly #prefix: string
  readonly #subnet: string
  readonly #names: string[] = []

  /** Null where this process may not make namespaces: it is not root, or `ip` is missing. */
  static open(serial: number): Network | null {
    try {
      return new Network(serial)
    } catch {
      return null
    }
  }

  private constructor(serial: number) {
    this.#prefix = `mfc${(serial % 65_000).toString(36)}`
    this.#subnet = `10.${100 + (serial % 100)}.${serial % 251}`
    ip('link', 'add', this.#bridge, 'type', 'bridge')
    ip('addr', 'add', `${this.#subnet}.1/24`, 'dev', this.#bridge)
    ip('link', 'set', this.#bridge, 'up')
  }

  /** A machine more; gives its address. */
  add(name: string): string {
    const space = this.#space(name)
    const address = `${this.#subnet}.${10 + this.#names.length}`
    this.#names.push(name)
    ip('netns', 'add', space)
    ip('link', 'add', this.#cable(name), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space)
    ip('link', 'set', this.#cable(name), 'master', this.#bridge, 'up')
    for (const words of [
      ['link', 'set', 'lo', 'up'],
      ['addr', 'add', `${address}/24`, 'dev', 'eth0'],
      ['link', 'set', 'eth0', 'up'],
      ['route', 'add', 'default', 'via', `${this.#subnet}.1`],
    ])
      ip('-n', space, ...words)
    return address
  }

  /** What a command begins with that runs on a machine. It becomes the command itself, under the same process number. */
  within(name: string): string[] {
    return ['ip', 'netns', 'exec', this.#space(name)]
  }

  /** Pulls a machine's cable, or plugs it in. */
  setConnected(name: string, connected: boolean): void {
    ip('link', 'set', this.#cable(name), connected ? 'up' : 'down')
  }

  close(): void {
    for (const name of this.#names) {
      attempt('link', 'del', this.#cable(name))
      attempt('netns', 'del', this.#space(name))
    }
    attempt('link', 'del', this.#bridge)
  }

  get #bridge(): string {
    return `${this.#prefix}br`
  }

  #space(name: string): string {
    return `${this.#prefix}-${name}`
  }

  /** At most 15 characters. */
  #cable(name: string): string {
    return `${this.#prefix}${name.slice(0, 6)}`
  }
}

function ip(...words: string[]): void {
  execFileSync('ip', words, { stdio: 'pipe' })
}

function attempt(...words: string[]): void {
  try {
    ip(...words)
  } catch {
    // It was not there.
  }
}
