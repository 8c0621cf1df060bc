// Gets certificates from an authority, one at a time: finds or makes the account's key, and chooses the kind of challenge. When
// to renew is renewed-certificate.ts's. Runs on the control thread.

import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { isIP } from 'node:net'
import type { AcmeName, AcmeSettings, ChallengeKind } from '#config/settings.ts'
import type { CertificatePem } from '#protocol/certificate-pem.ts'
import { AcmeError } from './acme-answer.ts'
import { ChallengeError, orderCertificate } from './acme-order.ts'
import { AcmeSession, type AcmeAccount, type AcmeServer } from './acme-session.ts'
import type { AccountKeys } from './account-keys.ts'
import type { ChallengePort } from './certificate-source.ts'

/** Authorities take seconds; some wait a minute before they look at a challenge. */
const ORDER_MS_MAX = 300_000

export interface IssuerParts {
  readonly settings: AcmeSettings
  readonly server: AcmeServer
  readonly accountKeys: AccountKeys
  readonly challenges: ChallengePort
}

export interface IssueRequest {
  readonly wanted: AcmeName
  /** The renewal identifier of the certificate to replace. */
  readonly replaces: string | undefined
  /** Attempts for this certificate that have failed since the last success. */
  readonly failureCount: number
  readonly signal: AbortSignal
}

export class AcmeIssuer {
  readonly #parts: IssuerParts
  /** The kind of challenge that succeeded last. */
  #proven: ChallengeKind | undefined = undefined
  /** The account's key, if it could not be written to the folder. */
  #unsavedKey: string | undefined = undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(parts: IssuerParts) {
    this.#parts = parts
  }

  /**
   * A new certificate, as the authority sent it. Waits for orders before it.
   *
   * @throws AcmeError, and the signal's reason
   */
  async issue(request: IssueRequest): Promise<CertificatePem> {
    const issued = this.#last.then(async () => await this.#issue(request))
    this.#last = issued.catch(() => undefined)
    return await issued
  }

  async #issue(request: IssueRequest): Promise<CertificatePem> {
    const timeout = AbortSignal.timeout(ORDER_MS_MAX)
    const signal = AbortSignal.any([request.signal, timeout])
    signal.throwIfAborted()
    try {
      return await this.#order({ ...request, signal })
    } catch (error) {
      if (!timeout.aborted || request.signal.aborted) throw error
      throw new AcmeError('acme_unreachable', `no certificate within ${ORDER_MS_MAX / 60_000} minutes`, {
        cause: error,
      })
    }
  }

  async #order({ wanted, replaces, failureCount, signal }: IssueRequest): Promise<CertificatePem> {
    const { challenges, server } = this.#parts
    const account = await this.#account(wanted.name)
    const session = await AcmeSession.open(server, account, { wish: wanted, signal })
    const failures: ChallengeError[] = []
    for (const kind of this.#kindsToTry(failureCount)) {
      try {
        const pem = await orderCertificate(session, { name: wanted.name, replaces, kind, challenges })
        this.#proven = kind
        return pem
      } catch (error) {
        if (!(error instanceof ChallengeError)) throw error
        failures.push(error)
      }
    }
    const [first] = failures
    throw new AcmeError('acme_challenge', failures.map(({ message }) => message).join('; '), { cause: first })
  }

  /**
   * All kinds at the first attempt. Later one at a time, in turn, since authorities allow few failures: Let's Encrypt five an
   * hour.
   */
  #kindsToTry(failureCount: number): readonly ChallengeKind[] {
    const { kinds } = this.#parts.settings
    const proven = this.#proven
    const ordered = proven === undefined ? kinds : [proven, ...kinds.filter((kind) => kind !== proven)]
    return failureCount === 0 ? ordered : ordered.slice(failureCount % ordered.length).slice(0, 1)
  }

  async #account(name: string): Promise<AcmeAccount> {
    const { accountKeys, settings } = this.#parts
    const { email, eab } = settings
    const purpose = isIP(name) === 0 ? 'names' : 'addresses'
    const known = (await accountKeys.read(purpose)) ?? this.#unsavedKey
    if (known !== undefined) return { key: pkcs8(known), isNew: false, email, eab }
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const key = privateKey.export({ type: 'sec1', format: 'pem' }).toString()
    // A folder that takes no key takes no certificate either, which is reported then.
    const isSaved = await accountKeys.write(purpose, key).then(
      () => true,
      () => false,
    )
    this.#unsavedKey = isSaved ? undefined : key
    return { key: pkcs8(key), isNew: true, email, eab }
  }
}

/** @throws AcmeError for a damaged key */
function pkcs8(pem: string): string {
  try {
    return createPrivateKey(pem).export({ type: 'pkcs8', format: 'pem' }).toString()
  } catch (error) {
    throw new AcmeError(
      'store',
      "the account's key in -certdir is damaged; restore it, or remove it for a new account",
      {
        cause: error,
      },
    )
  }
}
