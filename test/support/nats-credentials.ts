// Access to a NATS server by signed tokens: tokens of operator, account and user, and the credentials file of a user.
// Tests use it instead of NATS's own tool.

import { createAccount, createOperator, createUser, type KeyPair } from '@nats-io/nkeys'

const UNLIMITED = {
  subs: -1,
  conn: -1,
  leaf: -1,
  imports: -1,
  exports: -1,
  data: -1,
  payload: -1,
  wildcards: true,
}

/** An operator with one account. */
export class NatsOperator {
  readonly #operator = createOperator()
  readonly #account = createAccount()

  /** Lines of a server's configuration that admit only users of the account. */
  get serverLines(): string {
    const operator = token(this.#operator, this.#operator.getPublicKey(), { type: 'operator' })
    const id = this.#account.getPublicKey()
    const account = token(this.#operator, id, { type: 'account', limits: UNLIMITED })
    return [`operator: ${operator}`, 'resolver: MEMORY', `resolver_preload: { ${id}: ${account} }`].join('\n')
  }

  /** The credentials file of a new user. */
  credentials(): string {
    const user = createUser()
    const jwt = token(this.#account, user.getPublicKey(), { type: 'user', subs: -1, data: -1, payload: -1 })
    const seed = new TextDecoder().decode(user.getSeed())
    return [
      '-----BEGIN NATS USER JWT-----',
      jwt,
      '------END NATS USER JWT------',
      '',
      '-----BEGIN USER NKEY SEED-----',
      seed,
      '------END USER NKEY SEED------',
      '',
    ].join('\n')
  }
}

function token(issuer: KeyPair, subject: string, nats: Readonly<Record<string, unknown>>): string {
  const [iat, iss] = [Math.floor(Date.now() / 1_000), issuer.getPublicKey()]
  const claims = { jti: subject, iat, iss, name: 'derpfleet', sub: subject, nats: { ...nats, version: 2 } }
  const text = [{ typ: 'JWT', alg: 'ed25519-nkey' }, claims]
    .map((part) => base64(JSON.stringify(part)))
    .join('.')
  return `${text}.${base64(issuer.sign(Buffer.from(text)))}`
}

function base64(bytes: string | Uint8Array): string {
  return Buffer.from(bytes).toString('base64url')
}
