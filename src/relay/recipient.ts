// A session as the rest of the relay sees it once it has logged in: it has a key, receives packets and control frames,
// and can be ended. The peer registry, the watchers and the forwarder deal with recipients and know no sessions.

import type { EndReason } from './end-reason.ts'
import type { AddressedPacket, Link } from './ports.ts'

export interface Recipient {
  /** The proven key, 32 bytes. */
  readonly key: Uint8Array
  /** It has logged in with a mesh key. */
  readonly isMesh: boolean
  /** It is a sibling of another region, which is told of home keys only. */
  readonly wantsHomesOnly: boolean
  /** It is a derpfleet relay, which holds packets for keys that leave a draining sibling. */
  readonly holdsPackets: boolean
  /** It has noted this relay as its home. */
  readonly isHome: boolean
  /** It has logged in and has not ended. */
  readonly isEstablished: boolean
  /** How watchers are told that it is here, as a PeerPresent frame. */
  readonly presentFrame: Uint8Array
  /** When it last became the active one of its key, as a number of the relay's count of activity. */
  activity: number
  /** Its key has other sessions, so each of its frames is reported by `noteActivity`. */
  isShared: boolean
  /** Its connection. */
  readonly wire: Pick<Link, 'readInTurn'>
  /** The sources of the packets that it was given; kept by `peer.ts`. */
  packetSources: PacketSources | undefined
  /** Queues a control frame. */
  tell(frame: Uint8Array): void
  /** Queues the RecvPacket frame at packet.start. */
  deliver(packet: AddressedPacket, nowMs: number): void
  end(reason: EndReason): void
}

/** The keys whose packets a session was given, and which are still somewhere. */
export class PacketSources extends Set<PacketSource> {
  /** Those that have left since. One that has come back and left again counts twice. */
  departed = 0
}

/** A key whose packets were given to recipients, which are told when it leaves. */
export interface PacketSource {
  /** The recipient has ended. */
  forgetRecipient(recipient: Recipient): void
}
