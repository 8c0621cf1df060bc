// Certificates from an authority by ACME: one for the relay's host name, and one for each address that is to have its own. Each
// is looked after on its own (renewed-certificate.ts); here they are one set. Runs on the control thread.

import type { AcmeSettings } from '#config/settings.ts'
import { AccountKeys } from './account-keys.ts'
import { AcmeIssuer } from './acme-issuer.ts'
import type { HttpSender } from './acme-http.ts'
import { askRenewalInformation, type AcmeServer } from './acme-session.ts'
import type {
  CertificateHost,
  CertificateSource,
  ChallengePort,
  SourcedCertificate,
} from './certificate-source.ts'
import { RenewedCertificate } from './renewed-certificate.ts'
import type { CertificateStore } from './certificate-store.ts'

export interface AcmeSourceParts {
  readonly settings: AcmeSettings
  /** The relay's public key as text. */
  readonly relay: string
  readonly host: CertificateHost
  readonly store: CertificateStore
  readonly challenges: ChallengePort
  readonly sender: HttpSender
  /** Whether this run of the relay is the newest that serves: it alone renews. */
  readonly isInCharge: () => boolean
}

export class AcmeSource implements CertificateSource {
  readonly #parts: AcmeSourceParts
  readonly #certificates: readonly RenewedCertificate[]

  constructor(parts: AcmeSourceParts) {
    this.#parts = parts
    const { challenges, host, isInCharge, relay, sender, settings, store } = parts
    const { directoryUrl, folder, names } = settings
    const server: AcmeServer = { directoryUrl, sender, now: Date.now }
    const accountKeys = new AccountKeys(folder)
    const issuer = new AcmeIssuer({ settings, server, accountKeys, challenges })
    this.#certificates = names.map(
      (wanted) =>
        new RenewedCertificate({
          wanted,
          store: {
            read: async () => await store.read(wanted.name),
            write: async (pem) => await store.write(wanted.name, pem),
            lease: async () => await store.lease(wanted.name),
            check: async () => await store.check(),
          },
          attempts: store.attempts(wanted.name, { directory: directoryUrl, relay }),
          issue: async (request) => await issuer.issue(request),
          askRenewal: async (renewalId, signal) => await askRenewalInformation(server, renewalId, signal),
          isInCharge,
          onChange: () => this.#use(),
          onFailure: (failure) => host.failed(failure),
          now: Date.now,
          random: Math.random,
        }),
    )
  }

  async start(): Promise<void> {
    for (const certificate of this.#certificates) await certificate.start()
  }

  listening(): void {
    for (const certificate of this.#certificates) certificate.begin()
  }

  async reload(): Promise<void> {
    await Promise.all(this.#certificates.map(async (certificate) => await certificate.reload()))
    if (!this.#certificates.some(({ isFailing }) => isFailing)) this.#use()
  }

  async stop(): Promise<void> {
    await Promise.all(this.#certificates.map(async (certificate) => await certificate.stop()))
  }

  /** Without the certificate for the host name, which comes first, there is no set. */
  #use(): void {
    const { host, settings } = this.#parts
    if (this.#certificates[0]?.pem === undefined) return
    const certificates = settings.names.flatMap(({ name }, index): SourcedCertificate[] => {
      const pem = this.#certificates[index]?.pem
      return pem === undefined ? [] : [{ names: [name], pem, origin: 'acme', from: settings.directoryUrl }]
    })
    host.use(certificates)
  }
}
