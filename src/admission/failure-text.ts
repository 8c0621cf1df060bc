// Why a back end could not be reached, in an operator's words, from the errors of Node's sockets, TLS and HTTP. Holds no
// address and no secret: who says it adds where.

const TEXTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was broken off',
  EPIPE: 'the connection was broken off',
  ENOENT: 'does not exist',
  EACCES: 'may not be accessed by this user',
  ENOTFOUND: 'the host name is not known to DNS',
  EAI_AGAIN: 'DNS gives no answer',
  ETIMEDOUT: 'no connection in time',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate is signed by an authority that this host does not trust',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'its certificate is signed by an authority that this host does not trust',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is signed by an authority that this host does not trust',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is signed by an authority that this host does not trust',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed, and not among those that this host trusts',
  EPROTO: 'TLS is not spoken there, or none that fits',
  ERR_SSL_WRONG_VERSION_NUMBER: 'TLS is not spoken there',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
}

/** For want of these nothing can be asked, however well the back end is. */
const OURS: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS', 'EADDRNOTAVAIL'])

/** One that this host or this program is to blame for. */
export function isOurFault(error: unknown): boolean {
  if (OURS.has(codeOf(error))) return true
  return error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError
}

export function failureText(error: unknown): string {
  const code = codeOf(error)
  const known = TEXTS[code]
  if (known !== undefined) return known
  if (code.startsWith('HPE_')) return `what it answers is not HTTP (${code})`
  const message = error instanceof Error ? error.message : String(error)
  return message === '' ? code : message
}

function codeOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return typeof code === 'string' ? code : ''
}
