import { randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import 'reflect-metadata'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { issuerOfEpoch } from '../dataplane/tls-peer.ts'
import { type AuthorityKeys, openAuthorityFolder, type StoredKey } from './authority-folder.ts'

/** A workload's certificate (SPIFFE X.509-SVID) and its key, as PEM. */
export interface Svid {
  principal: string
  epoch: number
  /** The leaf, then the epoch's intermediate. */
  chain: string
  /** PKCS #8. */
  key: string
  /** Milliseconds since the epoch of time, whole seconds. */
  notBefore: number
  notAfter: number
  /** Half its life is over then. */
  renewAt: number
}

/** The certificate by which an epoch's SVIDs are verified, as PEM. */
export interface TrustAnchor {
  epoch: number
  certificate: string
}

export interface AuthorityOptions {
  /** Where the keys are kept, so that certificates outlive this process; null: in memory alone. */
  folder?: string | null
  /** Where they are kept instead. */
  keys?: AuthorityKeys
  /** How long an SVID is valid. */
  svidLifetimeMs?: number
  /** Milliseconds since the epoch of time. */
  now?: () => number
}

const DAY_MS = 86_400_000
/** Clocks of other machines may be behind. */
const SKEW_MS = 60_000
/** Root and intermediates: an epoch ends when a new one is begun, not by time. */
const AUTHORITY_MS = 3650 * DAY_MS
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

interface Issuer {
  certificate: X509Certificate
  pem: string
  privateKey: CryptoKey
}

/**
 * The mesh's certificate authority: a root, under it one intermediate for each epoch, under that the workloads' SVIDs.
 * To begin a new epoch revokes every certificate of those before it, since engines trust epochs, not the root.
 */
export class CertificateAuthority {
  readonly #keys: AuthorityKeys | null
  readonly #svidLifetimeMs: number
  readonly #now: () => number
  readonly #root: Issuer
  #epoch: number
  #intermediate: Issuer

  /** Reads the authority in `folder`, or makes a new one. Throws where the folder cannot be used. */
  static async open(options: AuthorityOptions = {}): Promise<CertificateAuthority> {
    const keys = options.keys ?? (options.folder ? openAuthorityFolder(options.folder) : null)
    const now = options.now ?? Date.now
    const stored = (await keys?.read()) ?? null
    if (stored) {
      const root = await restore(stored.root)
      return new CertificateAuthority(options, keys, root, stored.epoch, await restore(stored.intermediate))
    }
    const root = await makeRoot(now())
    await keys?.writeRoot(await store(root))
    const intermediate = await makeIntermediate(root, 1, now())
    await keys?.writeEpoch(1, await store(intermediate))
    return new CertificateAuthority(options, keys, root, 1, intermediate)
  }

  private constructor(
    options: AuthorityOptions,
    keys: AuthorityKeys | null,
    root: Issuer,
    epoch: number,
    intermediate: Issuer,
  ) {
    this.#keys = keys
    this.#svidLifetimeMs = options.svidLifetimeMs ?? DAY_MS
    this.#now = options.now ?? Date.now
    this.#root = root
    this.#epoch = epoch
    this.#intermediate = intermediate
  }

  get svidLifetimeMs(): number {
    return this.#svidLifetimeMs
  }

  get epoch(): number {
    return this.#epoch
  }

  /** The root's certificate as PEM. */
  get root(): string {
    return this.#root.pem
  }

  /** What SVIDs of the present epoch are verified by. */
  get anchor(): TrustAnchor {
    return { epoch: this.#epoch, certificate: this.#intermediate.pem }
  }

  /** Makes a key and an SVID of the present epoch for a principal (`domain/ns/NAMESPACE/sa/ACCOUNT`). */
  async issue(principal: string): Promise<Svid> {
    const epoch = this.#epoch
    const issuer = this.#intermediate
    const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
    const now = this.#now()
    const notBefore = wholeSeconds(now - SKEW_MS)
    const notAfter = wholeSeconds(now + this.#svidLifetimeMs)
    const leaf = await sign(issuer, issuer.certificate.subject, '', keys.publicKey, notBefore, notAfter, [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([SERVER_AUTH, CLIENT_AUTH]),
      await AuthorityKeyIdentifierExtension.create(issuer.certificate.publicKey),
      // Critical, since the subject is empty (RFC 5280 4.2.1.6).
      new SubjectAlternativeNameExtension([{ type: 'url', value: `spiffe://${principal}` }], true),
    ])
    const chain = `${leaf.toString('pem')}\n${issuer.pem}\n`
    const renewAt = now + this.#svidLifetimeMs / 2
    return { principal, epoch, chain, key: await exportKey(keys.privateKey), notBefore, notAfter, renewAt }
  }

  /**
   * Certifies the key of a party to the control plane: itself, a node, a client. Directly under the root, since those outlive
   * epochs. `names` are DNS names and IP addresses by which it is reached as well. Gives the certificate as PEM.
   */
  async certify(
    publicKey: CryptoKey,
    principal: string,
    names: readonly string[],
    lifetimeMs: number = this.#svidLifetimeMs,
  ): Promise<string> {
    const now = this.#now()
    const { certificate } = this.#root
    const leaf = await sign(
      this.#root,
      certificate.subject,
      '',
      publicKey,
      wholeSeconds(now - SKEW_MS),
      wholeSeconds(now + lifetimeMs),
      [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([SERVER_AUTH, CLIENT_AUTH]),
        await AuthorityKeyIdentifierExtension.create(certificate.publicKey),
        new SubjectAlternativeNameExtension(
          [
            { type: 'url', value: `spiffe://${principal}` },
            ...names.map((value) => ({
              type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const),
              value,
            })),
          ],
          true,
        ),
      ],
    )
    return `${leaf.toString('pem')}\n`
  }

  /** Goes by the epoch that is kept now: another control plane that shares the keys may have begun one. */
  async refresh(): Promise<void> {
    const stored = (await this.#keys?.read()) ?? null
    if (stored === null || stored.epoch === this.#epoch) return
    this.#intermediate = await restore(stored.intermediate)
    this.#epoch = stored.epoch
  }

  /** Begins the next epoch; resolves when it is on disk, where its keys are kept. */
  async beginEpoch(): Promise<void> {
    const epoch = this.#epoch + 1
    const intermediate = await makeIntermediate(this.#root, epoch, this.#now())
    await this.#keys?.writeEpoch(epoch, await store(intermediate))
    this.#epoch = epoch
    this.#intermediate = intermediate
  }
}

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const ROOT_NAME = 'CN=mayfly root'

async function makeRoot(now: number): Promise<Issuer> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const certificate = await sign(
    keys,
    ROOT_NAME,
    ROOT_NAME,
    keys.publicKey,
    wholeSeconds(now - SKEW_MS),
    wholeSeconds(now + AUTHORITY_MS),
    await authorityExtensions(keys.publicKey, 1),
  )
  return { certificate, pem: certificate.toString('pem'), privateKey: keys.privateKey }
}

async function makeIntermediate(root: Issuer, epoch: number, now: number): Promise<Issuer> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const certificate = await sign(
    root,
    root.certificate.subject,
    issuerOfEpoch(epoch),
    keys.publicKey,
    wholeSeconds(now - SKEW_MS),
    Math.min(wholeSeconds(now + AUTHORITY_MS), root.certificate.notAfter.getTime()),
    [
      ...(await authorityExtensions(keys.publicKey, 0)),
      await AuthorityKeyIdentifierExtension.create(root.certificate.publicKey),
    ],
  )
  return { certificate, pem: certificate.toString('pem'), privateKey: keys.privateKey }
}

async function authorityExtensions(publicKey: CryptoKey, pathLength: number): Promise<Extension[]> {
  return [
    new BasicConstraintsExtension(true, pathLength, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    await SubjectKeyIdentifierExtension.create(publicKey),
  ]
}

function sign(
  signer: { privateKey: CryptoKey },
  issuer: string,
  subject: string,
  publicKey: CryptoKey,
  notBefore: number,
  notAfter: number,
  extensions: Extension[],
): Promise<X509Certificate> {
  return X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    issuer,
    subject,
    notBefore: new Date(notBefore),
    notAfter: new Date(notAfter),
    publicKey,
    signingKey: signer.privateKey,
    signingAlgorithm: ALGORITHM,
    extensions,
  })
}

/** 127 random bits, positive and without a leading zero byte (RFC 5280 4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16)
  bytes[0] = (bytes[0]! & 0x7f) | 0x40
  return bytes.toString('hex')
}

/** A certificate's times have no fractions. */
function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1_000) * 1_000
}

async function exportKey(key: CryptoKey): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', key))
  const lines = der.toString('base64').match(/.{1,64}/g)!
  return `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`
}

async function store({ pem, privateKey }: Issuer): Promise<StoredKey> {
  return { certificate: pem, key: await exportKey(privateKey) }
}

async function restore({ certificate, key }: StoredKey): Promise<Issuer> {
  const der = Buffer.from(key.replace(/-----[^-]+-----|\s/g, ''), 'base64')
  const privateKey = await crypto.subtle.importKey('pkcs8', der, ALGORITHM, true, ['sign'])
  const parsed = new X509Certificate(certificate)
  return { certificate: parsed, pem: parsed.toString('pem'), privateKey }
}
