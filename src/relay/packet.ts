// The packet that a relay thread has in hand: where it lies and what kind it is. One object per thread, set
// anew for each packet, because a thread handles one packet at a time and to its end; nobody keeps it.

import { isDisco } from '#protocol/disco.ts'
import { PacketKind } from './drop-reason.ts'

export class Packet {
  buffer: Buffer = Buffer.alloc(0)
  /** Where the part begins that is handed on; what that is, is said where it is set. */
  start = 0
  /** Where the packet proper begins. */
  packetAt = 0
  end = 0
  kind: PacketKind = PacketKind.data

  get packetBytes(): number {
    return this.end - this.packetAt
  }

  set(buffer: Buffer, start: number, packetAt: number, end: number): void {
    this.buffer = buffer
    this.start = start
    this.packetAt = packetAt
    this.end = end
    this.kind = isDisco(buffer, packetAt, end) ? PacketKind.disco : PacketKind.data
  }
}
