import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClaimedRange } from './claimed-range.ts'
import { untilReady } from './instance-view.ts'
import { addressText, INSIDE, packetFilter } from './packet-filter.ts'
import { TOOL_ENVIRONMENT } from './system-tool.ts'

/** The namespaces of one instance: its network, and what processes share by System V's and POSIX's means. */
export interface NetworkNamespace {
  /** Open files that keep them; with these and the processes inside gone, the kernel removes all that is in them. */
  readonly network: number
  readonly ipc: number
  /** The name of the machine's end of its pair of interfaces. */
  readonly interfaceName: string
  /** On the machine: where its sidecar is, and where the instance is. */
  readonly sidecar: string
  readonly instance: string
  close(): void
}

const READY_MS = 60_000
const OUTER_MAC = '02:00:00:00:00:01'
const INNER_MAC = '02:00:00:00:00:02'

// Runs in the new namespaces. $1: the process whose network namespace has the other end.
// What may be routed: a call to the sidecar, a question to the name server, answers to engines; connect() to anything else
// fails at once. The filter on the other end does not rely on that.
const script = (name: string, sidecar: string, instance: string, filter: string) => `set -e
outer="nsenter --net=/proc/$1/ns/net"
ip -batch - <<END
link set lo up
link add eth0 address ${INNER_MAC} arp off type veth peer name ${name} address ${OUTER_MAC} netns $1
addr add ${INSIDE.instance}/32 dev eth0
link set eth0 up
route add ${INSIDE.sidecar}/32 dev eth0 src ${INSIDE.instance}
neigh add ${INSIDE.sidecar} lladdr ${OUTER_MAC} dev eth0 nud permanent
rule add pref 10 ipproto tcp dport ${INSIDE.httpPort} lookup main
rule add pref 11 ipproto udp dport ${INSIDE.dnsPort} lookup main
rule add pref 12 ipproto tcp dport ${ephemeralPorts()} lookup main
rule add pref 13 prohibit
END
for name in all default eth0; do
  echo 0 >/proc/sys/net/ipv4/conf/$name/rp_filter
  if [ -d /proc/sys/net/ipv6 ]; then echo 1 >/proc/sys/net/ipv6/conf/$name/disable_ipv6; fi
done
if [ -d /proc/sys/net/ipv6 ]; then echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6; fi
echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
$outer ip -batch - <<END
link set ${name} addrgenmode none arp off
addr add ${sidecar} peer ${instance}/32 dev ${name}
END
$outer tc -batch - <<END
qdisc add dev ${name} clsact
filter add dev ${name} ingress bpf direct-action object-file ${filter} section out
filter add dev ${name} egress bpf direct-action object-file ${filter} section in
END
$outer ip -batch - <<END
link set ${name} up
neigh add ${instance} lladdr ${INNER_MAC} dev ${name} nud permanent
END
echo ready
read -r _ || true
`

/** Makes the namespaces of the range's `index`th instance, whose engine and name server are to listen at `port`. */
export async function makeNamespace(
  unshare: string,
  range: ClaimedRange,
  index: number,
  port: number,
): Promise<{ ok: true; namespace: NetworkNamespace } | { ok: false; problem: string }> {
  const addresses = {
    sidecar: range.firstAddress + index * 2,
    instance: range.firstAddress + index * 2 + 1,
    port,
  }
  const name = `${range.interfacePrefix}${index}`
  const sidecar = addressText(addresses.sidecar)
  const instance = addressText(addresses.instance)
  const filter = join(range.folder, `${name}.o`)
  writeFileSync(filter, packetFilter(addresses), { mode: 0o600 })
  const text = script(name, sidecar, instance, filter)
  const args = ['--net', '--ipc', '--', '/bin/sh', '-c', text, 'mayfly', String(process.pid)]
  const child = spawn(unshare, args, { stdio: ['pipe', 'pipe', 'pipe'], cwd: '/', env: TOOL_ENVIRONMENT })
  const said = await untilReady(child, READY_MS)
  rmSync(filter, { force: true })
  if (!said.ok) return { ok: false, problem: `a network namespace: ${said.problem}` }
  const files: number[] = []
  const close = () => {
    for (const file of files.splice(0)) closeSync(file)
  }
  try {
    const open = (kind: string) => {
      files.push(openSync(`/proc/${child.pid}/ns/${kind}`, 'r'))
      return files.at(-1)!
    }
    const [network, ipc] = [open('net'), open('ipc')]
    return { ok: true, namespace: { network, ipc, interfaceName: name, sidecar, instance, close } }
  } catch (error) {
    // Whoever ends processes at random may have ended this one.
    close()
    return { ok: false, problem: `a network namespace: ${(error as Error).message}` }
  } finally {
    child.stdin!.end()
  }
}

/** The ports from which engines connect: "32768-60999". */
function ephemeralPorts(): string {
  const [first, last] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'latin1').trim().split(/\s+/)
  return `${first}-${last}`
}
