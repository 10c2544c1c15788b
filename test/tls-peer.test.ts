import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { before, test } from 'node:test'
import { CertificateAuthority } from '../src/control/certificate-authority.ts'
import { peerProblem, readPeer, type Trust } from '../src/dataplane/tls-peer.ts'

let certificate: X509Certificate
let notAfter: number
before(async () => {
  const authority = await CertificateAuthority.open()
  const svid = await authority.issue('old.example/ns/shop/sa/cart.v2')
  certificate = new X509Certificate(svid.chain)
  notAfter = svid.notAfter
})

const trust = (domains: string[], epochs: number[]): Trust => ({
  domains: new Set(domains),
  epochs: new Set(epochs),
})
const NOW = Date.now()

test('a workload is who its SPIFFE ID says, also by another name of the trust domain', () => {
  const reading = readPeer(certificate, trust(['new.example', 'old.example'], [1]), NOW)
  assert.ok(reading.ok)
  const { principal, epoch, hash } = reading.peer
  assert.equal(principal, 'old.example/ns/shop/sa/cart.v2')
  assert.equal(epoch, 1)
  assert.match(hash, /^[0-9a-f]{64}$/)
  assert.equal(reading.peer.notAfter, notAfter)
})

test('what does not count is told apart', () => {
  const problem = (given: X509Certificate | undefined, trusted: Trust, now = NOW) => {
    const reading = readPeer(given, trusted, now)
    return reading.ok ? null : reading.problem
  }
  const own = trust(['old.example'], [1])
  assert.equal(problem(undefined, own), 'no-certificate')
  assert.equal(problem(certificate, trust(['new.example'], [1])), 'trust-domain')
  assert.equal(problem(certificate, trust(['old.example'], [2])), 'epoch')
  assert.equal(problem(certificate, own, notAfter), 'expired')
  assert.equal(problem(certificate, own, notAfter - 1), null)
  const reading = readPeer(certificate, own, NOW)
  assert.ok(reading.ok)
  assert.equal(peerProblem(reading.peer, own, NOW), null)
  assert.equal(peerProblem(reading.peer, trust(['old.example'], [2, 3]), NOW), 'epoch')
  assert.equal(peerProblem(reading.peer, own, notAfter + 1), 'expired')
})
