// The packet that a relay thread is handling: where it lies and what kind it is. There is one object per thread, set
// again for each packet, because a thread handles one packet at a time and to its end; nothing may keep it.

import { isDisco } from '#protocol/disco.ts'
import { PacketKind } from './drop-reason.ts'
import type { AddressedPacket } from './ports.ts'

export class Packet implements AddressedPacket {
  buffer: Buffer = Buffer.alloc(0)
  /** Where the part that is handed on begins; the code that sets it says what that is. */
  start = 0
  /** Where the packet proper begins. */
  packetAt = 0
  end = 0
  kind: PacketKind = PacketKind.data
  isForwarded = false

  get packetBytes(): number {
    return this.end - this.packetAt
  }

  set(buffer: Buffer, start: number, packetAt: number, end: number): void {
    this.buffer = buffer
    this.start = start
    this.packetAt = packetAt
    this.end = end
    this.kind = isDisco(buffer, packetAt, end) ? PacketKind.disco : PacketKind.data
    this.isForwarded = false
  }
}
