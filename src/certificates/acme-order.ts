// One order of one certificate (RFC 8555 §7.4): order, prove control over the name by one kind of challenge, send a signing
// request with a new key, download the certificate. A proof that fails is a ChallengeError, after which another kind may be
// tried with another order. What the authority returns is checked by issued-certificate.ts. Runs on the control thread.

import { generateKeyPairSync } from 'node:crypto'
import { isIP } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { CertificatePem } from '#protocol/certificate-pem.ts'
import { reverseName } from '#protocol/ip-address.ts'
import { AcmeError, oneLine, problemOf } from './acme-answer.ts'
import type { AcmeAuthorization, AcmeChallenge, AcmeOrder, AcmeSession } from './acme-session.ts'
import type { ChallengeKind } from '#config/settings.ts'
import type { ChallengePort } from './certificate-source.ts'

/** Between two questions about an order; the server may ask for another interval within these bounds. */
const POLL_MS = 1_000
const POLL_MS_MIN = 200
const POLL_MS_MAX = 15_000

/** A token is base64url (RFC 8555 §8.1) of 128 bits; authorities use up to 256. */
const TOKEN = /^[A-Za-z0-9_-]{16,128}$/

export interface OrderRequest {
  /** A host name or an IP address. */
  readonly name: string
  /** The renewal identifier of the certificate that this one replaces; undefined if the authority does not know one. */
  readonly replaces: string | undefined
  readonly kind: ChallengeKind
  readonly challenges: ChallengePort
}

/** The authority did not accept, or does not offer, this kind of proof. */
export class ChallengeError extends AcmeError {}

/** @throws AcmeError, and the signal's reason */
export async function orderCertificate(session: AcmeSession, request: OrderRequest): Promise<CertificatePem> {
  const order = await createOrder(session, request)
  const authorizations = await readAuthorizations(session, order)
  for (const authorization of authorizations) {
    // An authority may remember a proof of an earlier order.
    if (authorization.status !== 'valid') await prove(session, { order, authorization, request })
  }
  const readyOrder = await poll(session, order, (status) => status !== 'pending')
  const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey
  const keyPem = key.export({ type: 'pkcs8', format: 'pem' }).toString()
  const [, csr] = await session.library.crypto.createCsr({ altNames: [request.name] }, keyPem)
  const finalized =
    readyOrder.status === 'ready'
      ? await session.call('signing request', async (client) => await client.finalizeOrder(readyOrder, csr))
      : readyOrder
  const valid = await poll(session, finalized, (status) => status === 'valid')
  const chain: unknown = await session.call('download', async (client) => await client.getCertificate(valid))
  if (typeof chain !== 'string')
    throw new AcmeError('acme_refused', 'download: the server sends no certificate')
  return { certificate: chain, key: keyPem }
}

async function createOrder(session: AcmeSession, request: OrderRequest): Promise<AcmeOrder> {
  const { name, replaces } = request
  const { profile } = session
  const identifiers = [{ type: isIP(name) === 0 ? 'dns' : 'ip', value: name }]
  const wanted = { identifiers, ...(profile !== undefined && { profile }) }
  const order = async (data: typeof wanted): Promise<AcmeOrder> =>
    await session.call('order', async (client) => await client.createOrder(data))
  if (replaces === undefined) return await order(wanted)
  const replacing = { ...wanted, replaces }
  try {
    return await order(replacing)
  } catch (error) {
    // The certificate has been replaced already, or the authority no longer knows it: the order counts on its own.
    if (!(error instanceof AcmeError) || error.type === undefined || error.type === 'rateLimited') throw error
    return await order(wanted)
  }
}

async function readAuthorizations(session: AcmeSession, order: AcmeOrder): Promise<AcmeAuthorization[]> {
  if (order.authorizations.length !== 1)
    throw new AcmeError('acme_refused', 'order: expected one authorization for one name')
  return await session.call('authorization', async (client) => await client.getAuthorizations(order))
}

interface Proof {
  readonly order: AcmeOrder
  readonly authorization: AcmeAuthorization
  readonly request: OrderRequest
}

/** Answers no longer. */
type Clear = () => Promise<void> | void

/** Answers the challenge until the authority has looked at it. @throws ChallengeError */
async function prove(session: AcmeSession, { authorization, order, request }: Proof): Promise<void> {
  const { challenges, kind, name } = request
  if (authorization.status !== 'pending') throw unproven(authorization, request)
  const challenge = authorization.challenges.find(({ type }) => type === kind)
  if (challenge === undefined)
    throw new ChallengeError('acme_challenge', `the authority does not offer ${kind} for ${name}`)
  const { token } = challenge
  if (!TOKEN.test(token))
    throw new AcmeError('acme_refused', 'challenge: expected a token of base64url characters')
  const text = await session.call(
    'challenge',
    async (client) => await client.getChallengeKeyAuthorization(challenge),
  )
  const clear =
    kind === 'http-01'
      ? await answerByHttp(challenges, token, text)
      : await answerByTls(session, { challenges, authorization, text, name })
  try {
    await session.call('challenge', async (client) => await client.completeChallenge(challenge))
    await judged(session, order, request)
  } finally {
    await clear()
  }
}

async function answerByHttp({ http }: ChallengePort, token: string, text: string): Promise<Clear> {
  if (http === undefined)
    throw new ChallengeError('acme_challenge', 'http-01 needs an HTTP port (-http-port)')
  await http.set(token, text)
  return async () => await http.clear(token)
}

/** By a self-signed certificate that contains the answer (RFC 8737), for an address under its reverse name (RFC 8738). */
async function answerByTls(
  session: AcmeSession,
  {
    challenges,
    authorization,
    text,
    name,
  }: { challenges: ChallengePort; authorization: AcmeAuthorization; text: string; name: string },
): Promise<Clear> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const [, certificate] = await session.library.crypto.createAlpnCertificate(authorization, text, keyPem)
  const serverName = isIP(name) === 0 ? name : reverseName(name)
  await challenges.tlsAlpn.set(serverName, { certificate: certificate.toString(), key: keyPem })
  return () => challenges.tlsAlpn.clear(serverName)
}

/** Waits until the authority has judged the proof. */
async function judged(session: AcmeSession, order: AcmeOrder, request: OrderRequest): Promise<void> {
  for (;;) {
    const [authorization] = await readAuthorizations(session, order)
    if (authorization?.status === 'valid') return
    if (authorization?.status !== 'pending') throw unproven(authorization, request)
    await pauseBeforePoll(session)
  }
}

function unproven(
  authorization: AcmeAuthorization | undefined,
  { kind, name }: OrderRequest,
): ChallengeError {
  const reason =
    failureOf(authorization?.challenges ?? [], kind) ??
    `the authorization is ${oneLine(String(authorization?.status))}`
  return new ChallengeError('acme_challenge', `the authority could not verify ${name} by ${kind}: ${reason}`)
}

function failureOf(challenges: readonly AcmeChallenge[], kind: ChallengeKind): string | undefined {
  const challenge = challenges.find(({ type }) => type === kind)
  const { detail, type } = problemOf(
    challenge !== undefined && 'error' in challenge ? challenge.error : undefined,
  )
  return detail ?? type
}

/** Waits for a status of the order. @throws AcmeError for an order that has failed */
async function poll(
  session: AcmeSession,
  first: AcmeOrder,
  isWanted: (status: string) => boolean,
): Promise<AcmeOrder> {
  for (let order = first; ;) {
    if (order.status === 'invalid') {
      const { detail, type } = problemOf('error' in order ? order.error : undefined)
      throw new AcmeError(
        'acme_refused',
        `the authority refused the order: ${detail ?? type ?? 'without a reason'}`,
      )
    }
    if (isWanted(order.status)) return order
    await pauseBeforePoll(session)
    const known = order
    order = await session.call('order', async (client) => await client.getOrder(known))
  }
}

async function pauseBeforePoll(session: AcmeSession): Promise<void> {
  const ms = Math.min(Math.max(session.retryAfterMs ?? POLL_MS, POLL_MS_MIN), POLL_MS_MAX)
  await pause(ms, undefined, { signal: session.signal })
}
