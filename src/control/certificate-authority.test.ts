import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { readPeer } from '../dataplane/tls-peer.ts'
import { CertificateAuthority } from './certificate-authority.ts'

const PRINCIPAL = 'cluster.local/ns/shop/sa/cart'
const folder = mkdtempSync(join(tmpdir(), 'mayfly-ca-'))
after(() => rmSync(folder, { recursive: true, force: true }))

test('an SVID names its workload, is verified by openssl, and its key is its own', async () => {
  const authority = await CertificateAuthority.open()
  const svid = await authority.issue(PRINCIPAL)
  const leaf = new X509Certificate(svid.chain)
  assert.equal(leaf.subjectAltName, `URI:spiffe://${PRINCIPAL}`)
  assert.equal(leaf.issuer, 'CN=mayfly epoch 1')
  assert.equal(leaf.ca, false)
  assert.equal(leaf.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
  assert.ok(leaf.checkPrivateKey(createPrivateKey(svid.key)))
  assert.ok(Math.abs(svid.notAfter - Date.now() - 86_400_000) < 2_000)
  assert.equal(Date.parse(leaf.validTo), svid.notAfter)
  const files = { root: authority.root, middle: authority.anchor.certificate, leaf: svid.chain }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, `${name}.crt`), text)
  const path = (name: string) => join(folder, `${name}.crt`)
  const arguments_ = ['-x509_strict', '-CAfile', path('root'), '-untrusted', path('middle'), path('leaf')]
  for (const purpose of ['sslserver', 'sslclient']) {
    const said = execFileSync('openssl', ['verify', '-purpose', purpose, ...arguments_], { encoding: 'utf8' })
    assert.match(said, /leaf\.crt: OK/)
  }
})

test('a new epoch has an intermediate of its own, by which earlier SVIDs are not verified', async () => {
  const authority = await CertificateAuthority.open()
  const before = await authority.issue(PRINCIPAL)
  const first = authority.anchor
  await authority.beginEpoch()
  const after = await authority.issue(PRINCIPAL)
  assert.equal(before.epoch, 1)
  assert.equal(after.epoch, 2)
  const verified = (chain: string, anchor: string) =>
    new X509Certificate(chain).verify(new X509Certificate(anchor).publicKey)
  assert.ok(verified(before.chain, first.certificate))
  assert.ok(!verified(before.chain, authority.anchor.certificate))
  assert.ok(verified(after.chain, authority.anchor.certificate))
  const trust = { domains: new Set(['cluster.local']), epochs: new Set([2]) }
  assert.deepEqual(readPeer(new X509Certificate(before.chain), trust, Date.now()), {
    ok: false,
    problem: 'epoch',
  })
  assert.ok(readPeer(new X509Certificate(after.chain), trust, Date.now()).ok)
})

test('an authority in a folder goes on where it was, and keeps its keys to its user', async () => {
  const path = join(folder, 'authority')
  const authority = await CertificateAuthority.open({ folder: path })
  await authority.beginEpoch()
  const svid = await authority.issue(PRINCIPAL)
  const again = await CertificateAuthority.open({ folder: path })
  assert.equal(again.epoch, 2)
  assert.equal(again.root, authority.root)
  assert.ok(new X509Certificate(svid.chain).verify(new X509Certificate(again.anchor.certificate).publicKey))
  assert.equal((await again.issue(PRINCIPAL)).epoch, 2)
  assert.deepEqual(readdirSync(path).toSorted(), ['epoch-2.key', 'epoch-2.pem', 'root.key', 'root.pem'])
  for (const key of ['root.key', 'epoch-2.key']) {
    assert.equal(statSync(join(path, key)).mode & 0o777, 0o600)
  }
  chmodSync(join(path, 'root.key'), 0o640)
  await assert.rejects(CertificateAuthority.open({ folder: path }), /others may read .* chmod 600/)
  chmodSync(join(path, 'root.key'), 0o600)
  chmodSync(path, 0o777)
  await assert.rejects(CertificateAuthority.open({ folder: path }), /must be this user's own/)
})
