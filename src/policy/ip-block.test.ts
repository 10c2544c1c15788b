import assert from 'node:assert/strict'
import { BlockList, isIPv6 } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { FAMILY_IPV4, FAMILY_IPV6 } from '../sidecar/layout/authorization.ts'
import { parseIpBlock } from './ip-block.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

test('an address is a block of one, its bits past the prefix do not count', () => {
  const cases = [
    ['203.0.113.4', FAMILY_IPV4, 128, '00000000000000000000ffffcb007104'],
    ['203.0.113.77/24', FAMILY_IPV4, 120, '00000000000000000000ffffcb007100'],
    ['0.0.0.0/0', FAMILY_IPV4, 96, '00000000000000000000ffff00000000'],
    ['2001:db8::1', FAMILY_IPV6, 128, '20010db8000000000000000000000001'],
    ['2001:db8:ffff::/36', FAMILY_IPV6, 36, '20010db8f00000000000000000000000'],
    ['::/0', FAMILY_IPV6, 0, '00000000000000000000000000000000'],
    ['1:2:3:4:5:6:7:8', FAMILY_IPV6, 128, '00010002000300040005000600070008'],
    // What is mapped from IPv4 is IPv4.
    ['::ffff:10.1.2.3', FAMILY_IPV4, 128, '00000000000000000000ffff0a010203'],
    ['::ffff:10.1.2.3/120', FAMILY_IPV4, 120, '00000000000000000000ffff0a010200'],
  ] as const
  for (const [text, family, prefix, network] of cases) {
    const reading = parseIpBlock(text)
    assert.ok(reading.ok, text)
    assert.deepEqual(
      [reading.block.family, reading.block.prefix, hex(reading.block.network)],
      [family, prefix, network],
      text,
    )
  }
})

test('what is no block is refused', () => {
  for (const text of [
    '',
    '10.0.0',
    '10.0.0.1/33',
    '10.0.0.1/',
    '10.0.0.1/08',
    '::1/129',
    'fe80::1%eth0',
    '10.0.0.0/8/8',
    'x',
  ]) {
    assert.equal(parseIpBlock(text).ok, false, text)
  }
})

test('a block holds the addresses of its family that the platform says it holds', () => {
  const group = fc.constantFrom('0', '1', 'ffff', 'db8')
  const ipv6 = fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => groups.join(':'))
  const address = fc.oneof(fc.ipV4(), fc.constantFrom('10.0.0.1', '10.0.0.2'), ipv6, fc.ipV6())
  fc.assert(
    fc.property(address, fc.nat(), address, (network, bits, other) => {
      const family = isIPv6(network) ? 'ipv6' : 'ipv4'
      const prefix = bits % (family === 'ipv6' ? 129 : 33)
      const list = new BlockList()
      list.addSubnet(network, prefix, family)
      const block = parseIpBlock(`${network}/${prefix}`)
      const single = parseIpBlock(other)
      assert.ok(block.ok && single.ok)
      const bytes = single.block.network
      const width = block.block.prefix
      const same = bytes.every((byte, index) => {
        const kept = Math.max(0, Math.min(8, width - index * 8))
        return byte >> (8 - kept) === block.block.network[index]! >> (8 - kept)
      })
      const ofFamily = block.block.family === single.block.family
      const platform = list.check(other, isIPv6(other) ? 'ipv6' : 'ipv4')
      if (ofFamily) assert.equal(same, platform)
    }),
    { numRuns: 2_000 },
  )
})
