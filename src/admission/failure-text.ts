// Texts for operators from the errors of Node's sockets, TLS and HTTP: why a backend could not be reached. Contains no
// address and no secret; the caller adds the address.

const TEXTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was closed',
  EPIPE: 'the connection was closed',
  ENOENT: 'does not exist',
  EACCES: 'this user may not access it',
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
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed, and this host does not trust it',
  EPROTO: 'it does not speak TLS, or no version in common',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
}

/** Resources of this host: without them no request can be made, however well the backend works. */
const HOST_CODES: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS', 'EADDRNOTAVAIL'])

/** Whether this host or this program is the cause. */
export function isLocalFault(error: unknown): boolean {
  if (HOST_CODES.has(codeOf(error))) return true
  return error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError
}

export function failureText(error: unknown): string {
  const code = codeOf(error)
  const known = TEXTS[code]
  if (known !== undefined) return known
  if (code.startsWith('HPE_')) return `the answer is not HTTP (${code})`
  const message = error instanceof Error ? error.message : String(error)
  return message === '' ? code : message
}

function codeOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return typeof code === 'string' ? code : ''
}
