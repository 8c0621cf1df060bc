// Why a session ended: the protocol's own violations, and everything else that ends one. A closed list;
// each value is a metric label and appears in logs, so values are never reused for something else.

import { ProtocolError } from '#protocol/protocol-error.ts'

export const EndReason = {
  ...ProtocolError,
  remoteClosed: 'remote_closed', //        the remote ended the connection, at a frame's border or inside
  remoteReset: 'remote_reset', //          the connection broke
  loginTimeout: 'login_timeout', //        no complete ClientInfo in time
  admissionTimeout: 'admission_timeout', //  no answer of admission within the login time limit
  admissionRefused: 'admission_refused', //  admission knows it not
  admissionUnreachable: 'admission_unreachable', // nobody could be asked, or nobody gave a usable answer
  appNameRefused: 'app_name_refused', //   the operator disallows this application
  writeStalled: 'write_stalled', //        the remote took no bytes for the write time limit
  unacknowledged: 'unacknowledged', //     the remote's host no longer acknowledges what is sent
  uselessRecords: 'useless_records', //    its TLS records bring no data: key updates and the like
  controlOverflow: 'control_overflow', //  it does not take the control frames that it is owed
  inputOverflow: 'input_overflow', //      it was not being read, and more came than a transport has under way
  memoryShort: 'memory_short', //          too much waits in the whole relay, and it has sent half of a large frame
  pingFlood: 'ping_flood', //              too many pings of its WebSocket's
  closedBySibling: 'closed_by_sibling', // a mesh peer asked for it (ClosePeer)
  rebalanced: 'rebalanced', //             it named another relay as its ideal one, which is there again
  meshKeyRefused: 'mesh_key_refused', //   it showed a mesh key that is none of this relay's, and may not go on without
  meshKeyRevoked: 'mesh_key_revoked', //   the sibling logged in with a mesh key that is no longer one
  threadLost: 'thread_lost', //            the relay thread that held it died
  shutdown: 'shutdown', //                 this relay ends
} as const
export type EndReason = (typeof EndReason)[keyof typeof EndReason]

export const END_REASONS: readonly EndReason[] = Object.values(EndReason)
