// Why a packet was deliberately not delivered. A closed list: each reason is counted for disco and for data separately,
// from zero at start, so that a dashboard shows zeros instead of gaps.

export const DropReason = {
  unknownDestination: 0, //        the key is neither here nor at a sibling
  unknownDestinationForwarded: 1, // a sibling forwarded a packet for a key that is not here
  goneDisconnected: 2, //          the destination ended while the packet waited
  queueHead: 3, //                 evicted as the oldest when the outbox was full
  queueAge: 4, //                  waited too long to be of use
  threadQueue: 5, //               the queue to the relay thread that holds the destination is full
  sourceInvalid: 6, //             forwarded with an all-zero source key, which clients can't read
  siblingQueue: 7, //              evicted as the oldest of what waits for a sibling
  siblingLost: 8, //               the link to the sibling ended while the packet waited, and there was no other way
  lookupQueue: 9, //               too much waits already for the lookup of its destination
  lookupTimeout: 10, //            the lookup of its destination took too long
  memory: 11, //                   too much waits in the whole relay, and this destination has more than its share
  handOffQueue: 12, //             too much is held already for clients that a drain has moved
  handOffTimeout: 13, //           a drain has moved the destination, and it did not come back in time
  tenant: 14, //                   source and destination are of different tenants, which are kept apart
  overShare: 15, //                a sibling forwarded it, and its tenant or the relay has had what it may have
  overMonth: 16, //                the relay has sent what it may send in a month, and is to relay disco messages only
} as const
export type DropReason = (typeof DropReason)[keyof typeof DropReason]

/** Labels by number; the first four are derper's own. */
export const DROP_REASON_LABELS = [
  'unknown_dest',
  'unknown_dest_on_fwd',
  'gone_disconnected',
  'queue_head',
  'queue_age',
  'queue_thread',
  'source_invalid',
  'queue_sibling',
  'sibling_lost',
  'lookup_queue',
  'lookup_timeout',
  'memory',
  'hand_off_queue',
  'hand_off_timeout',
  'tenant',
  'over_share',
  'over_month',
] as const

/** The two kinds of packets, which have lanes of their own. */
export const PacketKind = { data: 0, disco: 1 } as const
export type PacketKind = (typeof PacketKind)[keyof typeof PacketKind]
export const PACKET_KIND_LABELS = ['data', 'disco'] as const
