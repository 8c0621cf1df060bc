// One whole frame of every kind, with the packets inside. Presence frames have the 51-byte form; the form with an app name
// adds a length byte and the name.

import { bytes } from './hex.ts'

/** "hello, derp": the packet in the packet frames. */
export const packet = bytes('68656c6c6f2c2064657270')

export const frames = {
  /** SendPacket to clientB. */
  sendPacket: bytes(
    '040000002bab411ad3317b835eee48ddbd6fad5c9b5043274300067afaf9b560',
    '6b32b37f3868656c6c6f2c2064657270',
  ),
  /** The RecvPacket from clientA that it becomes. */
  recvPacket: bytes(
    '050000002bc11e1b11acc6982d13f20e5d03c760f1b30d6d5e40f993c8282e02',
    '8e0be54e0768656c6c6f2c2064657270',
  ),
  keepAlive: bytes('0600000000'),
  notePreferredYes: bytes('070000000101'),
  notePreferredNo: bytes('070000000100'),
  /** clientA. */
  peerGoneDisconnected: bytes(
    '0800000021c11e1b11acc6982d13f20e5d03c760f1b30d6d5e40f993c8282e02',
    '8e0be54e0700',
  ),
  /** clientB. */
  peerGoneNotHere: bytes('0800000021ab411ad3317b835eee48ddbd6fad5c9b5043274300067afaf9b560', '6b32b37f3801'),
  /** clientA, without a reason. */
  peerGoneOldForm: bytes('0800000020c11e1b11acc6982d13f20e5d03c760f1b30d6d5e40f993c8282e02', '8e0be54e07'),
  /** clientA, 203.0.113.7:41641. */
  peerPresentRegular: bytes(
    '0900000033c11e1b11acc6982d13f20e5d03c760f1b30d6d5e40f993c8282e02',
    '8e0be54e0700000000000000000000ffffcb007107a2a901',
  ),
  /** clientB, [2001:db8::7]:443, regular. */
  peerPresentIpv6: bytes(
    '0900000033ab411ad3317b835eee48ddbd6fad5c9b5043274300067afaf9b560',
    '6b32b37f3820010db800000000000000000000000701bb01',
  ),
  /** meshPeer, 198.51.100.9:50001. */
  peerPresentMeshPeer: bytes(
    '0900000033ec0ea4b86de643e9c4dd35d8f77e463184e6e6e040e3bc63e03e3d',
    '4d5c976d2d00000000000000000000ffffc6336409c35102',
  ),
  /** clientB, 203.0.113.8:50002, a prober that is not on its ideal node. */
  peerPresentProber: bytes(
    '0900000033ab411ad3317b835eee48ddbd6fad5c9b5043274300067afaf9b560',
    '6b32b37f3800000000000000000000ffffcb007108c3520c',
  ),
  /** clientA, regular. */
  peerPresentNoAddress: bytes(
    '0900000033c11e1b11acc6982d13f20e5d03c760f1b30d6d5e40f993c8282e02',
    '8e0be54e0700000000000000000000000000000000000001',
  ),
  /** clientA to clientB. */
  forwardPacket: bytes(
    '0a0000004bc11e1b11acc6982d13f20e5d03c760f1b30d6d5e40f993c8282e02',
    '8e0be54e07ab411ad3317b835eee48ddbd6fad5c9b5043274300067afaf9b560',
    '6b32b37f3868656c6c6f2c2064657270',
  ),
  watchConns: bytes('1000000000'),
  /** clientB. */
  closePeer: bytes('1100000020ab411ad3317b835eee48ddbd6fad5c9b5043274300067afaf9b560', '6b32b37f38'),
  /** Bytes 01 to 08. */
  ping: bytes('12000000080102030405060708'),
  pong: bytes('13000000080102030405060708'),
  /** Answered by the same pong. */
  pingOfTwelveBytes: bytes('120000000c0102030405060708090a0b0c'),
  /** The text "BAD". */
  healthBad: bytes('1400000003424144'),
  healthClear: bytes('1400000000'),
  /** Reconnect in 1,500 ms, try for 5,000 ms. */
  restarting: bytes('1500000008000005dc00001388'),
  /** Type 7e, to be skipped. */
  unknown: bytes('7e00000004deadbeef'),
}

/** The shortest disco message: magic, 32-byte key, 24-byte nonce. */
export const disco = {
  keyLabel: 'derp-spec/disco-pub',
  nonceLabel: 'derp-spec/nonce/disco',
  message: bytes(
    '5453f09f92ac6728ff5604171a78299c4903d2487f4f60b26b54aa00665727b0',
    '7a26874140a00b2f254404b7720bc59755f556f848ad149c3ab6553c77a9',
  ),
  /** SendPacket of it to clientB. */
  sendPacket: bytes(
    '040000005eab411ad3317b835eee48ddbd6fad5c9b5043274300067afaf9b560',
    '6b32b37f385453f09f92ac6728ff5604171a78299c4903d2487f4f60b26b54aa',
    '00665727b07a26874140a00b2f254404b7720bc59755f556f848ad149c3ab655',
    '3c77a9',
  ),
}

/** The largest packet: byte i is (7 i + 3) mod 256. */
export function largestPacket(): Buffer {
  return Buffer.from(Uint8Array.from({ length: 65_536 }, (_, i) => 7 * i + 3))
}

/** SHA-256 of the whole frames that carry it. */
export const largestFrames = {
  /** SendPacket to clientB. */
  sendPacketSha256: 'b519637816bb0dbe0808309631d9681e759d9a84c520657a0da0f07f9ae8c5d1',
  /** RecvPacket from clientA. */
  recvPacketSha256: 'f0444022df2c640559b88ecf0264b473d4bf408fd4f99dd63c6bde3a0e1def36',
}

export interface SizeBoundary {
  /** Type and payload length. */
  readonly header: Buffer
  readonly meaning: string
  /** False if the server closes without waiting for the payload. */
  readonly isAccepted: boolean
}

/** Headers on both sides of each limit; ForwardPacket is from a mesh peer. */
export const sizeBoundaries: readonly SizeBoundary[] = [
  { header: bytes('0400010020'), meaning: 'SendPacket, 65,536-byte packet', isAccepted: true },
  { header: bytes('0400010021'), meaning: 'SendPacket, 65,537-byte packet', isAccepted: false },
  { header: bytes('040000001f'), meaning: 'SendPacket of 31 bytes', isAccepted: false },
  { header: bytes('0400000020'), meaning: 'SendPacket, empty packet', isAccepted: true },
  { header: bytes('0a00010040'), meaning: 'ForwardPacket, 65,536-byte packet', isAccepted: true },
  { header: bytes('0a00010041'), meaning: 'ForwardPacket, 65,537-byte packet', isAccepted: false },
  { header: bytes('0200040000'), meaning: 'ClientInfo, the largest', isAccepted: true },
  { header: bytes('0200040001'), meaning: 'ClientInfo, too large', isAccepted: false },
  { header: bytes('1200000007'), meaning: 'Ping of 7 bytes', isAccepted: false },
  { header: bytes('12000003e9'), meaning: 'Ping of 1,001 bytes', isAccepted: false },
  { header: bytes('0700000002'), meaning: 'NotePreferred of 2 bytes', isAccepted: false },
  { header: bytes('1000000001'), meaning: 'WatchConns of 1 byte', isAccepted: false },
  { header: bytes('110000001f'), meaning: 'ClosePeer of 31 bytes', isAccepted: false },
]

/** RecvPacket with a 65,536-byte packet, for its receiver. */
export const largestRecvPacketHeader = bytes('0500010020')
