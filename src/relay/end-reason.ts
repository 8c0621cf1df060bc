// Why a session ended: violations of the protocol, and everything else that ends one. A closed list. Each value is a
// metric label and appears in logs, so values are never reused for something else.

import { ProtocolError } from '#protocol/protocol-error.ts'

export const EndReason = {
  ...ProtocolError,
  remoteClosed: 'remote_closed', //        the remote ended the connection, between frames or within one
  remoteReset: 'remote_reset', //          the connection broke
  loginTimeout: 'login_timeout', //        no complete ClientInfo in time
  admissionTimeout: 'admission_timeout', //  no answer of admission within the login time limit
  admissionRefused: 'admission_refused', //  admission denied it
  deniedByOperator: 'denied_by_operator', // an operator denies its key
  admissionUnreachable: 'admission_unreachable', // no admission back end gave a usable answer
  admissionEnded: 'admission_ended', //    admission was asked again, and denied it
  kicked: 'kicked', //                     an operator ended it
  addressRate: 'address_rate', //          its address logs in too often, or is refused for a while because of that
  appNameRefused: 'app_name_refused', //   the operator disallows this application
  writeStalled: 'write_stalled', //        the remote took no bytes for the write time limit
  unacknowledged: 'unacknowledged', //     the remote's host no longer acknowledges what is sent
  uselessRecords: 'useless_records', //    its TLS records carry no data: key updates and the like
  controlOverflow: 'control_overflow', //  too many control frames wait for it
  inputOverflow: 'input_overflow', //      more came while it was not read than a transport has under way
  memoryShort: 'memory_short', //          too much waits in the whole relay, and it has sent part of a large frame
  pingFlood: 'ping_flood', //              too many WebSocket pings
  closedBySibling: 'closed_by_sibling', // a sibling asked for it (ClosePeer)
  rebalanced: 'rebalanced', //             its ideal node is another one, which can be reached again
  meshKeyRefused: 'mesh_key_refused', //   its mesh key is none of this relay's, and it needed one
  meshKeyRevoked: 'mesh_key_revoked', //   the sibling logged in with a mesh key that is no longer valid
  threadLost: 'thread_lost', //            the relay thread that held it died
  drained: 'drained', //                   this relay drains: everything was sent, and the client has ended its side
  drainForced: 'drain_forced', //          this relay drains, and the client did not read or did not end its side
  shutdown: 'shutdown', //                 this relay is stopping
} as const
export type EndReason = (typeof EndReason)[keyof typeof EndReason]

export const END_REASONS: readonly EndReason[] = Object.values(EndReason)

/** Nothing can be sent any more. */
export const NOT_READING: ReadonlySet<EndReason> = new Set([
  EndReason.writeStalled,
  EndReason.unacknowledged,
  EndReason.drainForced,
])
