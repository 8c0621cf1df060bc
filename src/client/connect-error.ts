// Why a connection did not come about, and how one ended that did. Both are for people and for programs: a
// sentence to show, and a closed list of words to decide by.

/** How far an attempt came: name and TCP, TLS, HTTP, DERP's own greeting. */
export type ConnectStage = 'dial' | 'tls' | 'upgrade' | 'login'

/** A connection that did not come about. Its `cause`, if any, is the system's or OpenSSL's error. */
export class DerpConnectError extends Error {
  override readonly name = 'DerpConnectError'
  /** The stage that failed, or that was under way at the time limit. */
  readonly stage: ConnectStage
  /** The HTTP status, when there was one and it was not 101. */
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
  ended: 'ended', //       the server closed it in order
  broken: 'broken', //     the network or TLS failed; `cause` says how
  silent: 'silent', //     no whole frame within the silence limit
  violated: 'violated', // the server broke the protocol
} as const
export type EndKind = (typeof EndKind)[keyof typeof EndKind]

/** The end of a connection, told once. */
export interface ConnectionEnd {
  readonly kind: EndKind
  /** One sentence for people. */
  readonly message: string
  readonly cause?: Error
}
