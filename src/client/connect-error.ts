// Why a connection could not be made, and how a connection ended. Each has a sentence for people and a closed list of
// values for programs.

/** The stages of an attempt: name and TCP, TLS, HTTP, DERP's login. */
export type ConnectStage = 'dial' | 'tls' | 'upgrade' | 'login'

/** A connection could not be made. Its `cause`, if any, is the error of the system or of OpenSSL. */
export class DerpConnectError extends Error {
  override readonly name = 'DerpConnectError'
  /** The stage that failed, or that was in progress at the time limit. */
  readonly stage: ConnectStage
  /** The HTTP status, if there was one other than 101. */
  readonly status: number | undefined

  constructor(stage: ConnectStage, message: string, detail: { cause?: unknown; status?: number } = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.stage = stage
    this.status = detail.status
  }
}

/** How an open connection ended. */
export const EndKind = {
  closed: 'closed', //     this side closed it
  ended: 'ended', //       the server closed it
  broken: 'broken', //     the network or TLS failed; see `cause`
  silent: 'silent', //     no whole frame within the silence limit
  violated: 'violated', // the server broke the protocol
} as const
export type EndKind = (typeof EndKind)[keyof typeof EndKind]

/** The end of a connection; reported once. */
export interface ConnectionEnd {
  readonly kind: EndKind
  /** For people. */
  readonly message: string
  readonly cause?: Error
}
