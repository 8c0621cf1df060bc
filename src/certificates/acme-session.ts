// A conversation with an ACME server (RFC 8555): its directory, this relay's account, and the steps of an order, each as one
// call. Signs and speaks through the library (acme-library.ts). Decides neither what to order nor when to try again: every
// failure is an AcmeError. Runs on the control thread.

import { AcmeError, errorOf, oneLine, retryAfterMs } from './acme-answer.ts'
import { AcmeHttp, type HttpSender } from './acme-http.ts'
import { loadAcmeLibrary, withRequestsThrough, type AcmeLibrary } from './acme-library.ts'
import { renewalInformationIn, type RenewalInformation } from './renewal-information.ts'

export type AcmeClient = InstanceType<AcmeLibrary['Client']>
export type AcmeOrder = Awaited<ReturnType<AcmeClient['createOrder']>>
export type AcmeAuthorization = Awaited<ReturnType<AcmeClient['getAuthorizations']>>[number]
export type AcmeChallenge = AcmeAuthorization['challenges'][number]

/** Certificates are not requested by a wrong clock: they would seem expired, or valid for days that are over. */
const CLOCK_MS_MAX = 3_600_000

export interface AcmeServer {
  readonly directoryUrl: string
  readonly sender: HttpSender
  /** Unix time in milliseconds. */
  readonly now: () => number
}

/** The account at the authority. */
export interface AcmeAccount {
  /** PEM. */
  readonly key: string
  /** The key was made for this conversation, so that the authority can't know it yet. */
  readonly isNew: boolean
  readonly email: string | undefined
  /** External account binding: the key is base64 or base64url. */
  readonly eab: { readonly kid: string; readonly key: string } | undefined
}

export interface ProfileWish {
  readonly profile: string | undefined
  /** The operator has named the profile: without it, nothing is ordered. */
  readonly isProfileRequired: boolean
}

interface SessionParts {
  readonly library: AcmeLibrary
  readonly client: AcmeClient
  readonly http: AcmeHttp
  readonly profile: string | undefined
  readonly now: () => number
}

export class AcmeSession {
  readonly library: AcmeLibrary
  /** To be named in orders. */
  readonly profile: string | undefined
  readonly #client: AcmeClient
  readonly #http: AcmeHttp
  readonly #now: () => number

  private constructor(parts: SessionParts) {
    this.library = parts.library
    this.profile = parts.profile
    this.#client = parts.client
    this.#http = parts.http
    this.#now = parts.now
  }

  /**
   * Reads the directory and logs in with the account, which is created if the authority does not know it.
   *
   * @throws AcmeError
   */
  static async open(
    server: AcmeServer,
    account: AcmeAccount,
    { wish, signal }: { wish: ProfileWish; signal: AbortSignal },
  ): Promise<AcmeSession> {
    const http = new AcmeHttp(server.sender, signal)
    const directory = await readDirectory(http, server)
    const profile = offeredProfile(directory, wish)
    const library = await loadAcmeLibrary()
    const client = new library.Client({
      directoryUrl: server.directoryUrl,
      accountKey: account.key,
      ...(account.eab && { externalAccountBinding: { kid: account.eab.kid, hmacKey: account.eab.key } }),
    })
    const session = new AcmeSession({ library, client, http, profile, now: server.now })
    await session.#logIn(account, directory)
    return session
  }

  get signal(): AbortSignal {
    return this.#http.signal
  }

  /** One call of the library. @param what completes "…: the server answers …" */
  async call<T>(what: string, call: (client: AcmeClient) => Promise<T>): Promise<T> {
    try {
      return await withRequestsThrough(this.#http, async () => await call(this.#client))
    } catch (error) {
      if (this.signal.aborted) throw this.signal.reason
      if (error instanceof AcmeError) throw error
      const { last } = this.#http
      const reported = last && errorOf(last, what, this.#now())
      throw (
        reported ??
        new AcmeError('acme_refused', `${what}: unexpected answer: ${oneLine((error as Error).message)}`, {
          cause: error,
        })
      )
    }
  }

  /** The time that the last answer asks to wait; undefined if it does not. */
  get retryAfterMs(): number | undefined {
    return this.#http.last && retryAfterMs(this.#http.last, this.#now())
  }

  async #logIn({ email, eab, isNew }: AcmeAccount, { meta }: AcmeDirectory): Promise<void> {
    const contact = email === undefined ? [] : [`mailto:${email}`]
    const known = isNew ? undefined : await this.#knownAccount()
    if (known === undefined) {
      if (meta['externalAccountRequired'] === true && eab === undefined) {
        throw new AcmeError(
          'acme_refused',
          'the authority accepts only accounts with external account binding: set -acme-eab-kid and -acme-eab-key',
        )
      }
      // Setting the option is the operator's agreement, as with derper.
      const terms = { termsOfServiceAgreed: true, contact }
      await this.call('account', async (client) => await client.createAccount(terms))
      return
    }
    if (known.status !== 'valid')
      throw new AcmeError('acme_refused', `account: its status is ${oneLine(known.status)}`)
    if (email === undefined || known.contact?.includes(`mailto:${email}`) === true) return
    await this.call('account', async (client) => await client.updateAccount({ contact }))
  }

  async #knownAccount(): Promise<{ status: string; contact?: string[] } | undefined> {
    try {
      return await this.call(
        'account',
        async (client) => await client.createAccount({ onlyReturnExisting: true }),
      )
    } catch (error) {
      if (error instanceof AcmeError && error.type === 'accountDoesNotExist') return undefined
      throw error
    }
  }
}

/**
 * Asks when the authority wants a certificate renewed; needs no account. Undefined if the authority does not say.
 *
 * @throws AcmeError if it can't be asked
 */
export async function askRenewalInformation(
  server: AcmeServer,
  renewalId: string,
  signal: AbortSignal,
): Promise<RenewalInformation | undefined> {
  const http = new AcmeHttp(server.sender, signal)
  const { renewalInfoUrl } = await readDirectory(http, server)
  if (renewalInfoUrl === undefined) return undefined
  const url = `${renewalInfoUrl.replace(/\/$/, '')}/${renewalId}`
  const answer = await http.send({ method: 'GET', url, headers: {}, body: undefined })
  // The certificate is another authority's, or the directory is another authority's since.
  if (answer.status === 404) return undefined
  const error = errorOf(answer, 'renewal information', server.now())
  if (error !== undefined) throw error
  return renewalInformationIn(answer, server.now())
}

interface AcmeDirectory {
  readonly renewalInfoUrl: string | undefined
  readonly meta: Readonly<Record<string, unknown>>
}

/** @throws AcmeError also if this host's clock and the server's are far apart */
async function readDirectory(http: AcmeHttp, { directoryUrl, now }: AcmeServer): Promise<AcmeDirectory> {
  const answer = await http.send({ method: 'GET', url: directoryUrl, headers: {}, body: undefined })
  const error = errorOf(answer, 'directory', now())
  if (error !== undefined) throw error
  assertClock(answer.headers['date'], now())
  const fields = objectIn(answer.body)
  if (typeof fields?.['newOrder'] !== 'string') {
    throw new AcmeError('acme_unreachable', `${directoryUrl} is no ACME directory`)
  }
  const { renewalInfo, meta } = fields
  return {
    renewalInfoUrl: typeof renewalInfo === 'string' ? renewalInfo : undefined,
    meta: typeof meta === 'object' && meta !== null ? (meta as Record<string, unknown>) : {},
  }
}

function assertClock(date: string | undefined, nowMs: number): void {
  const serverMs = Date.parse(date ?? '')
  if (Number.isNaN(serverMs) || Math.abs(serverMs - nowMs) <= CLOCK_MS_MAX) return
  const [here, there] = [nowMs, serverMs].map((ms) => new Date(ms).toISOString().slice(0, 19))
  throw new AcmeError(
    'other',
    `the clocks differ: it is ${here}Z on this host and ${there}Z at the authority; no certificate is requested`,
  )
}

/** The profile to order; undefined if it is only preferred and the authority does not offer it. */
function offeredProfile({ meta }: AcmeDirectory, wish: ProfileWish): string | undefined {
  const { profile, isProfileRequired } = wish
  if (profile === undefined) return undefined
  const { profiles } = meta
  const names = typeof profiles === 'object' && profiles !== null ? Object.keys(profiles) : []
  if (names.includes(profile)) return profile
  if (!isProfileRequired) return undefined
  const offered = names.length === 0 ? 'none' : oneLine(names.join(', '))
  throw new AcmeError(
    'acme_refused',
    `the authority has no profile ${JSON.stringify(profile)} (-acme-profile); it offers ${offered}`,
  )
}

function objectIn(json: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
