// What may pass between an instance's network namespace and the machine, as two eBPF programs on the machine's end of the pair
// of interfaces. Inside, all instances see the same two addresses; outside, each has two of its own. The programs
// translate, and drop whatever is not one of these:
//   instance -> its sidecar, TCP port 80      (to the egress address's port)
//   instance -> its name server, UDP port 53  (to the same number)
//   engine -> instance, any TCP port          (arrives from the sidecar's address at 127.0.0.1, so that every server hears it)
// and the answers to them. A TCP segment that would begin another connection is dropped; any other can do no harm, since
// an instance cannot write segments by itself (no raw sockets). No IP options, no fragments, no IPv6, no ARP, no ICMP.

import { BpfProgram, bpfObject } from './bpf-object.ts'

/** The addresses of one instance's pair of interfaces on the machine, as numbers. */
export interface PairAddresses {
  /** Where its sidecar is: an engine listens there. */
  sidecar: number
  /** The instance's own. */
  instance: number
  /** The engine's port there (TCP) and the name server's (UDP). */
  port: number
}

/** What an instance sees of its network (RFC 7335 keeps 192.0.0.0/29 for such ends of a link). */
export const INSIDE = { sidecar: '192.0.0.2', instance: '192.0.0.3', httpPort: 80, dnsPort: 53 }

/** For `tc`: sections `out` (what comes from the instance) and `in` (what goes to it). */
export function packetFilter(addresses: PairAddresses): Buffer {
  return bpfObject({ out: fromInstance(addresses), in: toInstance(addresses) })
}

export function addressNumber(text: string): number {
  return text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

export function addressText(number: number): string {
  return [24, 16, 8, 0].map((bits) => (number >>> bits) & 255).join('.')
}

function fromInstance({ sidecar, instance, port }: PairAddresses): Buffer {
  const program = begin()
  program.load('u32', 2, 10, IP + 16).fromNetwork('u32', 2)
  program.jump(2, '!=', SIDECAR, 'drop')
  program.load('u32', 7, 10, IP + 12).fromNetwork('u32', 7)
  program.load('u16', 8, 10, TRANSPORT + 2).fromNetwork('u16', 8)
  program.load('u8', 2, 10, IP + 9)
  program.jump(2, '==', UDP, 'udp')
  program.jump(2, '!=', TCP, 'drop')
  loadTransport(program, 20)
  program.jump(8, '==', INSIDE.httpPort, 'call')

  // An answer of the instance's server, or a new connection to somewhere else: SYN without ACK.
  program.jump(8, '==', port, 'drop')
  program.load('u8', 2, 10, TRANSPORT + 13).and(2, 0x12)
  program.jump(2, '==', 0x02, 'drop')
  program.jump(7, '==', LOOPBACK, 'answer')
  program.jump(7, '!=', INSTANCE, 'drop')
  rewriteAddress(program, TCP_CHECKSUM, IP_SOURCE, INSTANCE, instance)
  program.go('destination')
  program.label('answer')
  rewriteAddress(program, TCP_CHECKSUM, IP_SOURCE, LOOPBACK, instance)
  program.label('destination')
  rewriteAddress(program, TCP_CHECKSUM, IP_DESTINATION, SIDECAR, sidecar)
  program.exit(PASS)

  program.label('call')
  program.jump(7, '!=', INSTANCE, 'drop')
  rewritePort(program, TCP_CHECKSUM, 36, INSIDE.httpPort, port)
  rewriteAddress(program, TCP_CHECKSUM, IP_SOURCE, INSTANCE, instance)
  rewriteAddress(program, TCP_CHECKSUM, IP_DESTINATION, SIDECAR, sidecar)
  program.exit(PASS)

  program.label('udp')
  program.jump(7, '!=', INSTANCE, 'drop')
  program.jump(8, '!=', INSIDE.dnsPort, 'drop')
  rewritePort(program, UDP_CHECKSUM, 36, INSIDE.dnsPort, port)
  rewriteAddress(program, UDP_CHECKSUM, IP_SOURCE, INSTANCE, instance)
  rewriteAddress(program, UDP_CHECKSUM, IP_DESTINATION, SIDECAR, sidecar)
  program.exit(PASS)
  return program.label('drop').exit(DROP).bytes()
}

function toInstance({ sidecar, instance, port }: PairAddresses): Buffer {
  const program = begin()
  program.load('u32', 2, 10, IP + 16).fromNetwork('u32', 2)
  program.jump(2, '!=', instance, 'drop')
  program.load('u32', 2, 10, IP + 12).fromNetwork('u32', 2)
  program.jump(2, '!=', sidecar, 'drop')
  program.load('u16', 8, 10, TRANSPORT).fromNetwork('u16', 8)
  program.load('u8', 2, 10, IP + 9)
  program.jump(2, '==', UDP, 'udp')
  program.jump(2, '!=', TCP, 'drop')
  program.jump(8, '==', port, 'answer')

  rewriteAddress(program, TCP_CHECKSUM, IP_DESTINATION, instance, LOOPBACK)
  rewriteAddress(program, TCP_CHECKSUM, IP_SOURCE, sidecar, SIDECAR)
  program.exit(PASS)

  program.label('answer')
  rewritePort(program, TCP_CHECKSUM, 34, port, INSIDE.httpPort)
  rewriteAddress(program, TCP_CHECKSUM, IP_DESTINATION, instance, INSTANCE)
  rewriteAddress(program, TCP_CHECKSUM, IP_SOURCE, sidecar, SIDECAR)
  program.exit(PASS)

  program.label('udp')
  program.jump(8, '!=', port, 'drop')
  rewritePort(program, UDP_CHECKSUM, 34, port, INSIDE.dnsPort)
  rewriteAddress(program, UDP_CHECKSUM, IP_DESTINATION, instance, INSTANCE)
  rewriteAddress(program, UDP_CHECKSUM, IP_SOURCE, sidecar, SIDECAR)
  program.exit(PASS)
  return program.label('drop').exit(DROP).bytes()
}

/** The frame in R6; the IPv4 header (RFC 791) and 8 bytes behind it on the stack; anything but a plain one is dropped. */
function begin(): BpfProgram {
  const program = new BpfProgram().set(6, { register: 1 })
  program.load('u32', 2, 6, SKB_PROTOCOL).fromNetwork('u16', 2)
  program.jump(2, '!=', 0x0800, 'drop')
  program.set(1, { register: 6 }).set(2, ETHERNET).set(3, { register: 10 }).add(3, IP).set(4, 28)
  program.call(SKB_LOAD_BYTES).jump(0, '!=', 0, 'drop')
  program.load('u8', 2, 10, IP).jump(2, '!=', 0x45, 'drop')
  // More fragments, or not the first.
  program.load('u16', 2, 10, IP + 6).fromNetwork('u16', 2)
  return program.jump(2, '&', 0x3fff, 'drop')
}

function loadTransport(program: BpfProgram, bytes: number): void {
  program.set(1, { register: 6 }).set(2, TRANSPORT_AT).set(3, { register: 10 }).add(3, TRANSPORT)
  program.set(4, bytes).call(SKB_LOAD_BYTES).jump(0, '!=', 0, 'drop')
}

/** Writes an address of the IP header, and mends its checksum and the transport's, whose pseudo-header has it. */
function rewriteAddress(
  program: BpfProgram,
  checksum: Checksum,
  at: number,
  before: number,
  after: number,
): void {
  const [from, to] = [swapped(before), swapped(after)]
  program.set(1, { register: 6 }).set(2, checksum.at).set(3, from).set(4, to)
  program.set(5, checksum.flags | PSEUDO_HEADER | 4).call(L4_CHECKSUM)
  program.jump(0, '!=', 0, 'drop')
  program
    .set(1, { register: 6 })
    .set(2, ETHERNET + 10)
    .set(3, from)
    .set(4, to)
    .set(5, 4)
  program.call(L3_CHECKSUM).jump(0, '!=', 0, 'drop')
  program.store('u32', 10, SCRATCH, to)
  storeBytes(program, at, 4)
}

function rewritePort(
  program: BpfProgram,
  checksum: Checksum,
  at: number,
  before: number,
  after: number,
): void {
  const [from, to] = [swapped(before) >>> 16, swapped(after) >>> 16]
  program.set(1, { register: 6 }).set(2, checksum.at).set(3, from).set(4, to)
  program.set(5, checksum.flags | 2).call(L4_CHECKSUM)
  program.jump(0, '!=', 0, 'drop')
  program.store('u16', 10, SCRATCH, to)
  storeBytes(program, at, 2)
}

function storeBytes(program: BpfProgram, at: number, bytes: number): void {
  program.set(1, { register: 6 }).set(2, at).set(3, { register: 10 }).add(3, SCRATCH).set(4, bytes).set(5, 0)
  program.call(SKB_STORE_BYTES).jump(0, '!=', 0, 'drop')
}

/** A number in network byte order, as a little-endian machine holds it: every one on which Node's Linux builds run. */
function swapped(number: number): number {
  return ((number << 24) | ((number & 0xff00) << 8) | ((number >>> 8) & 0xff00) | (number >>> 24)) >>> 0
}

type Checksum = { at: number; flags: number }

// Results of a classifier with direct actions (linux/pkt_cls.h).
const PASS = 0
const DROP = 2
// Helpers (linux/bpf.h).
const SKB_STORE_BYTES = 9
const L3_CHECKSUM = 10
const L4_CHECKSUM = 11
const SKB_LOAD_BYTES = 26
const PSEUDO_HEADER = 0x10
/** A checksum of zero means none in UDP, and stays so. */
const ZERO_IS_NONE = 0x20

const SKB_PROTOCOL = 16
const TCP = 6
const UDP = 17
// Offsets in the frame.
const ETHERNET = 14
const IP_SOURCE = 26
const IP_DESTINATION = 30
const TRANSPORT_AT = 34
const TCP_CHECKSUM: Checksum = { at: 50, flags: 0 }
const UDP_CHECKSUM: Checksum = { at: 40, flags: ZERO_IS_NONE }
// Offsets on the stack: the IP header, then what is behind it.
const IP = -48
const TRANSPORT = IP + 20
const SCRATCH = -56

const SIDECAR = addressNumber(INSIDE.sidecar)
const INSTANCE = addressNumber(INSIDE.instance)
const LOOPBACK = addressNumber('127.0.0.1')
