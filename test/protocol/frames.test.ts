// The frames after login: vectors byte for byte, round trips, length fields, and damaged payloads.

import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { FrameType, GoneReason, PresenceFlag } from '#protocol/frame-type.ts'
import {
  closePeerFrame,
  forwardedAsRecv,
  forwardPacketFrame,
  healthFrame,
  KEEP_ALIVE_FRAME,
  notePreferredFrame,
  peerGoneFrame,
  peerPresentFrame,
  pingFrame,
  pongFrame,
  type Presence,
  readPeerGone,
  readPeerPresent,
  readRestarting,
  recvPacketFrame,
  restartingFrame,
  sendPacketFrame,
  WATCH_CONNS_FRAME,
} from '#protocol/frames.ts'
import { frame, isAppName } from '#protocol/handshake.ts'
import { IP_BYTES, ipToBytes } from '#protocol/ip-address.ts'
import {
  disco,
  frames,
  largestFrames,
  largestPacket,
  largestRecvPacketHeader,
  packet,
} from '../vectors/frames.ts'
import { sha256 } from '../vectors/hex.ts'
import { clientA, clientB, meshPeer } from '../vectors/keys.ts'
import { damaged, exactly, someKey, somePacket } from './arbitraries.ts'

const [keyA, keyB] = [clientA.publicKey, clientB.publicKey]
const pingBytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)

const presences = {
  peerPresentRegular: presence(keyA, '203.0.113.7', 41_641, PresenceFlag.regular),
  peerPresentIpv6: presence(keyB, '2001:db8::7', 443, PresenceFlag.regular),
  peerPresentMeshPeer: presence(meshPeer.publicKey, '198.51.100.9', 50_001, PresenceFlag.meshPeer),
  peerPresentProber: presence(keyB, '203.0.113.8', 50_002, PresenceFlag.prober | PresenceFlag.notIdeal),
  peerPresentNoAddress: presence(keyA, '', 0, PresenceFlag.regular),
}

function presence(key: Buffer, ip: string, port: number, flags: number): Presence {
  return { key: Uint8Array.from(key), ip: ipToBytes(ip), port, flags, appName: undefined }
}

it.each([
  ['SendPacket', sendPacketFrame(keyB, packet), frames.sendPacket],
  ['SendPacket of a disco message', sendPacketFrame(keyB, disco.message), disco.sendPacket],
  ['RecvPacket', recvPacketFrame(keyA, packet), frames.recvPacket],
  ['KeepAlive', KEEP_ALIVE_FRAME, frames.keepAlive],
  ['NotePreferred yes', notePreferredFrame(true), frames.notePreferredYes],
  ['NotePreferred no', notePreferredFrame(false), frames.notePreferredNo],
  ['PeerGone, disconnected', peerGoneFrame(keyA, GoneReason.disconnected), frames.peerGoneDisconnected],
  ['PeerGone, not here', peerGoneFrame(keyB, GoneReason.notHere), frames.peerGoneNotHere],
  ['ForwardPacket', forwardPacketFrame(keyA, keyB, packet), frames.forwardPacket],
  ['WatchConns', WATCH_CONNS_FRAME, frames.watchConns],
  ['ClosePeer', closePeerFrame(keyB), frames.closePeer],
  ['Ping', pingFrame(pingBytes), frames.ping],
  ['Pong', pongFrame(pingBytes), frames.pong],
  ['Health', healthFrame('BAD'), frames.healthBad],
  ['Health clear', healthFrame(''), frames.healthClear],
  ['Restarting', restartingFrame(1_500, 5_000), frames.restarting],
])('writes %s byte for byte', (_name, written, vector) => {
  expect(toHex(written)).toBe(toHex(vector))
})

it.each(Object.entries(presences))('writes and reads %s byte for byte', (name, vector) => {
  const whole = frames[name as keyof typeof presences]
  expect(toHex(peerPresentFrame(vector))).toBe(toHex(whole))
  expect(readPeerPresent(whole.subarray(5))).toEqual(vector)
})

it('writes 64 KiB packets byte for byte', () => {
  const sent = sendPacketFrame(keyB, largestPacket())
  const received = recvPacketFrame(keyA, largestPacket())
  expect(received.subarray(0, 5)).toEqual(new Uint8Array(largestRecvPacketHeader))
  expect(sha256(sent).toString('hex')).toBe(largestFrames.sendPacketSha256)
  expect(sha256(received).toString('hex')).toBe(largestFrames.recvPacketSha256)
})

it('answers a longer ping with its first eight bytes', () => {
  const longPing = frames.pingOfTwelveBytes
  expect(toHex(pingFrame(longPing.subarray(5)))).toBe(toHex(longPing))
  expect(toHex(pongFrame(longPing.subarray(5)))).toBe(toHex(frames.pong))
})

it.each([
  ['disconnected', frames.peerGoneDisconnected, keyA, GoneReason.disconnected],
  ['not here', frames.peerGoneNotHere, keyB, GoneReason.notHere],
  ['the old form without a reason', frames.peerGoneOldForm, keyA, GoneReason.disconnected],
])('reads PeerGone, %s', (_name, whole, key, reason) => {
  expect(readPeerGone(whole.subarray(5))).toEqual({ key: Uint8Array.from(key), reason })
  expect(readPeerGone(whole.subarray(5, 5 + 31))).toBeUndefined()
})

it('reads a longer Restarting, but not a shorter one', () => {
  const payload = frames.restarting.subarray(5)
  const delays = { reconnectInMs: 1_500, tryForMs: 5_000 }
  expect(readRestarting(payload)).toEqual(delays)
  expect(readRestarting(Buffer.concat([payload, payload]))).toEqual(delays)
  expect(readRestarting(payload.subarray(0, 7))).toBeUndefined()
})

it('turns a ForwardPacket into the RecvPacket of its source in place, and changes nothing around it', () => {
  for (const offset of [0, 1, 6]) {
    const chunk = Buffer.concat([Buffer.alloc(offset, 0xee), frames.forwardPacket, Buffer.alloc(9, 0xee)])
    const end = offset + frames.forwardPacket.length
    const at = forwardedAsRecv(chunk, offset + 5, end)
    expect(toHex(chunk.subarray(at, end))).toBe(toHex(frames.recvPacket))
    expect(toHex(chunk.subarray(0, offset) as Uint8Array)).toBe('ee'.repeat(offset))
    expect(toHex(chunk.subarray(end))).toBe('ee'.repeat(9))
  }
})

it('turns any ForwardPacket into a RecvPacket, empty or of 64 KiB', () => {
  fc.assert(
    fc.property(someKey, someKey, somePacket, (source, destination, payload) => {
      const forwarded = Buffer.from(forwardPacketFrame(source, destination, payload))
      const at = forwardedAsRecv(forwarded, 5, forwarded.length)
      expect(forwarded.subarray(at).equals(recvPacketFrame(source, payload))).toBe(true)
    }),
  )
})

it('writes the real length into every frame', () => {
  fc.assert(
    fc.property(someKey, somePacket, fc.string({ unit: 'grapheme' }), (key, payload, text) => {
      const written = [
        sendPacketFrame(key, payload),
        recvPacketFrame(key, payload),
        forwardPacketFrame(key, key, payload),
        pingFrame(payload),
        healthFrame(text),
        closePeerFrame(key),
        frame(FrameType.clientInfo, key, payload, key),
      ]
      for (const bytes of written) {
        expect(Buffer.from(bytes).readUInt32BE(1)).toBe(bytes.length - 5)
      }
    }),
  )
})

const someAppName = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
  maxLength: 32,
})
const somePresence: fc.Arbitrary<Presence> = fc.record({
  key: someKey,
  ip: exactly(IP_BYTES),
  port: fc.nat(65_535),
  flags: fc.nat(255),
  appName: fc.option(someAppName, { nil: undefined }),
})

it('reads every presence that it writes, with and without an app name', () => {
  fc.assert(
    fc.property(somePresence, (written) => {
      const whole = peerPresentFrame(written)
      expect(whole.length).toBe(5 + 51 + (written.appName === undefined ? 0 : 1 + written.appName.length))
      expect(Buffer.from(whole).readUInt32BE(1)).toBe(whole.length - 5)
      expect(readPeerPresent(whole.subarray(5))).toEqual(written)
    }),
  )
})

it('reads the complete fields of a presence truncated at any position', () => {
  const whole = { ...presences.peerPresentProber, appName: 'derp prober' }
  const payload = peerPresentFrame(whole).subarray(5)
  for (let length = 0; length < payload.length; length++) {
    const hasAddress = length >= 50
    const expected =
      length < 32
        ? undefined
        : {
            key: whole.key,
            ip: hasAddress ? whole.ip : new Uint8Array(IP_BYTES),
            port: hasAddress ? whole.port : 0,
            flags: length >= 51 ? whole.flags : 0,
            appName: undefined,
          }
    expect(readPeerPresent(payload.subarray(0, length))).toEqual(expected)
  }
})

it.each([
  ['an empty name', '00', ''],
  ['a name', '03616263', 'abc'],
  ['a name and something after it', '03616263ff', 'abc'],
  ['a name cut short', '046162', undefined],
  ['a name with a control character', '02610a', undefined],
  ['a name beyond ASCII', '02c3bc', undefined],
  ['a name of 32 bytes', `20${'7e'.repeat(32)}`, '~'.repeat(32)],
  ['a name of 33 bytes', `21${'7e'.repeat(33)}`, undefined],
])('reads a presence with %s, and only a valid name', (_name, tail, appName) => {
  const payload = Buffer.concat([frames.peerPresentRegular.subarray(5), Buffer.from(tail, 'hex')])
  expect(readPeerPresent(payload)).toEqual({ ...presences.peerPresentRegular, appName })
})

it('copies the bytes that it reads from a borrowed payload', () => {
  const payload = Buffer.from(frames.peerPresentRegular.subarray(5))
  const read = readPeerPresent(payload)
  const gone = readPeerGone(payload)
  payload.fill(0)
  expect(read).toEqual(presences.peerPresentRegular)
  expect(gone?.key).toEqual(presences.peerPresentRegular.key)
})

it('reads damaged PeerPresent, PeerGone and Restarting completely or not at all', () => {
  const named = Buffer.from(peerPresentFrame({ ...presences.peerPresentIpv6, appName: 'an app' })).subarray(5)
  const samples = [named, frames.peerPresentRegular.subarray(5), frames.peerGoneNotHere.subarray(5)]
  fc.assert(
    fc.property(damaged(...samples, frames.restarting.subarray(5)), (payload) => {
      const read = readPeerPresent(payload)
      expect(read === undefined).toBe(payload.length < 32)
      if (read !== undefined) {
        expect([read.key.length, read.ip.length]).toEqual([32, IP_BYTES])
        expect(read.port >= 0 && read.port <= 65_535 && read.flags >= 0 && read.flags <= 255).toBe(true)
        expect(read.appName === undefined || isAppName(read.appName)).toBe(true)
      }
      const gone = readPeerGone(payload)
      expect(gone?.key.length).toBe(payload.length < 32 ? undefined : 32)
      expect(readRestarting(payload) === undefined).toBe(payload.length < 8)
    }),
    { numRuns: 1_000 },
  )
})
