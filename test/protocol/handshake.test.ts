// The login in bytes: the vectors in both directions, every rejected login derived from them, and damaged ones. The JSON
// inside is tested in client-info.test.ts.

import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { type BoxKey, BoxSecret } from '#protocol/box.ts'
import { toHex } from '#protocol/bytes.ts'
import {
  type ClientInfo,
  clientInfoFrame,
  openClientInfo,
  openServerInfo,
  readClientKey,
  readServerKey,
  serverInfoFrame,
  serverKeyFrame,
} from '#protocol/handshake.ts'
import { CLIENT_INFO_BYTES_MAX } from '#protocol/limits.ts'
import { ProtocolError } from '#protocol/protocol-error.ts'
import * as keys from '../vectors/keys.ts'
import * as login from '../vectors/login.ts'
import { damaged, exactly } from './arbitraries.ts'

const serverSecret = new BoxSecret(keys.server.privateKey)
const defaults: ClientInfo = {
  meshKey: undefined,
  version: 2,
  canAckPings: false,
  isProber: false,
  appName: '',
  wantsHomesOnly: false,
  wantsInstance: false,
}
const expectedInfos: Record<keyof typeof login.clientInfos, ClientInfo> = {
  clientInfo: { ...defaults, canAckPings: true },
  proberInfo: { ...defaults, isProber: true },
  meshPeerInfo: { ...defaults, meshKey: Uint8Array.from(keys.meshKey) },
}

function agreed(secret: BoxSecret, publicKey: Uint8Array): BoxKey {
  const box = secret.agree(publicKey)
  if (box === undefined) throw new Error(`no agreement with ${toHex(publicKey)}`)
  return box
}

/** Reads a ClientInfo payload as a server does. */
function logIn(payload: Uint8Array): { key: Uint8Array; info: ClientInfo } | ProtocolError {
  const key = readClientKey(payload)
  if (typeof key === 'string') return key
  const box = serverSecret.agree(key)
  const info = box === undefined ? ProtocolError.boxRefused : openClientInfo(payload, box)
  return typeof info === 'string' ? info : { key, info }
}

const boxWithA = agreed(serverSecret, keys.clientA.publicKey)
const infoPayload = login.clientInfo.frame.subarray(5)

/** A ClientInfo payload of clientA with any text in its box. */
function payloadWith(text: string | Uint8Array): Uint8Array {
  const plain = typeof text === 'string' ? Buffer.from(text) : text
  return Buffer.concat([keys.clientA.publicKey, boxWithA.seal(login.clientInfo.nonce, plain)])
}

it('writes ServerKey byte for byte, 45 bytes', () => {
  const frame = serverKeyFrame(keys.server.publicKey)
  expect(frame.length).toBe(45)
  expect(toHex(frame)).toBe(toHex(login.serverKeyFrame))
})

it('reads ServerKey, also with bytes behind the key', () => {
  const payload = login.serverKeyFrame.subarray(5)
  expect(readServerKey(payload)).toEqual(Uint8Array.from(keys.server.publicKey))
  expect(readServerKey(Buffer.concat([payload, Buffer.alloc(984)]))).toEqual(
    Uint8Array.from(keys.server.publicKey),
  )
})

it('rejects a ServerKey with a wrong magic, or truncated', () => {
  const payload = login.serverKeyFrame.subarray(5)
  for (let bit = 0; bit < 64; bit++) expect(readServerKey(withFlippedBit(payload, bit))).toBeUndefined()
  for (let length = 0; length < payload.length; length++) {
    expect(readServerKey(payload.subarray(0, length))).toBeUndefined()
  }
})

it.each(Object.entries(login.clientInfos))('writes %s byte for byte', (name, vector) => {
  const box = agreed(new BoxSecret(vector.from.privateKey), keys.server.publicKey)
  const info = expectedInfos[name as keyof typeof expectedInfos]
  expect(toHex(clientInfoFrame(vector.from.publicKey, info, box, vector.nonce))).toBe(toHex(vector.frame))
})

it.each(Object.entries(login.clientInfos))('logs in with %s', (name, vector) => {
  expect(logIn(vector.frame.subarray(5))).toEqual({
    key: Uint8Array.from(vector.from.publicKey),
    info: expectedInfos[name as keyof typeof expectedInfos],
  })
})

it('omits fields with their default from ClientInfo, as the native client does', () => {
  const box = agreed(new BoxSecret(keys.clientA.privateKey), keys.server.publicKey)
  const frame = clientInfoFrame(
    keys.clientA.publicKey,
    { canAckPings: true, appName: '', isProber: false },
    box,
    login.clientInfo.nonce,
  )
  expect(toHex(frame)).toBe(toHex(login.clientInfo.frame))
})

it('writes CanAckPings false by default', () => {
  const box = agreed(new BoxSecret(keys.clientB.privateKey), keys.server.publicKey)
  const frame = clientInfoFrame(keys.clientB.publicKey, {}, box, login.proberInfo.nonce)
  const plain = box.open(frame.subarray(5 + 32)) ?? new Uint8Array(0)
  expect(Buffer.from(plain).toString()).toBe('{"version":2,"CanAckPings":false}')
})

const someAppName = fc.stringMatching(/^[\x20-\x7e]{0,32}$/)
const someInfo: fc.Arbitrary<ClientInfo> = fc.record({
  meshKey: fc.option(
    exactly(32).filter((key) => key.some((byte) => byte !== 0)),
    { nil: undefined },
  ),
  version: fc.nat(1_000),
  canAckPings: fc.boolean(),
  isProber: fc.boolean(),
  appName: someAppName,
  wantsHomesOnly: fc.boolean(),
  wantsInstance: fc.boolean(),
})

it('reads every ClientInfo that it writes, and writes the real length', () => {
  const box = agreed(new BoxSecret(keys.clientA.privateKey), keys.server.publicKey)
  fc.assert(
    fc.property(someInfo, exactly(24), (info, nonce) => {
      const frame = clientInfoFrame(keys.clientA.publicKey, info, box, nonce)
      expect(Buffer.from(frame).readUInt32BE(1)).toBe(frame.length - 5)
      expect(logIn(frame.subarray(5))).toEqual({ key: Uint8Array.from(keys.clientA.publicKey), info })
    }),
  )
})

it('logs in with a ClientInfo of 262,144 bytes', () => {
  const sealedBytes = CLIENT_INFO_BYTES_MAX - 32 - 24 - 16
  const json = `{"version":2,"Padding":"${'x'.repeat(sealedBytes - 26)}"}`
  const payload = payloadWith(json)
  expect(payload.length).toBe(262_144)
  expect(logIn(payload)).toEqual({ key: Uint8Array.from(keys.clientA.publicKey), info: defaults })
})

it('rejects a ClientInfo with any bit flipped', () => {
  // X25519 ignores the key's top bit, so the box opens; the client is then the holder of that other key.
  const ignoredBit = 31 * 8 + 7
  for (let bit = 0; bit < infoPayload.length * 8; bit++) {
    const payload = withFlippedBit(infoPayload, bit)
    const outcome = logIn(payload)
    if (bit === ignoredBit) {
      expect(outcome).toEqual({
        key: Uint8Array.from(payload.subarray(0, 32)),
        info: expectedInfos.clientInfo,
      })
    } else {
      expect({ bit, outcome }).toEqual({ bit, outcome: ProtocolError.boxRefused })
    }
  }
})

it('rejects a ClientInfo truncated at any position, or with an additional byte', () => {
  for (let length = 0; length < infoPayload.length; length++) {
    const expected = length < 56 ? ProtocolError.clientInfoLength : ProtocolError.boxRefused
    expect({ length, outcome: logIn(infoPayload.subarray(0, length)) }).toEqual({ length, outcome: expected })
  }
  expect(logIn(Buffer.concat([infoPayload, Buffer.alloc(1)]))).toBe(ProtocolError.boxRefused)
  expect(logIn(login.refusedLogins.tooShort.subarray(5))).toBe(ProtocolError.clientInfoLength)
})

it('rejects the all-zero client key, and keys of small order', () => {
  const payload = Buffer.from(infoPayload)
  payload.fill(0, 0, 32)
  expect(logIn(payload)).toBe(ProtocolError.keyZero)
  payload.writeUInt8(1, 0)
  expect(logIn(payload)).toBe(ProtocolError.boxRefused)
})

it('copies the client key from the borrowed payload', () => {
  const payload = Buffer.from(infoPayload)
  const key = readClientKey(payload)
  payload.fill(0)
  expect(key).toEqual(Uint8Array.from(keys.clientA.publicKey))
})

it('a damaged ClientInfo gives a ProtocolError or a login', () => {
  const frames = Object.values(login.clientInfos).map(({ frame }) => frame.subarray(5))
  fc.assert(
    fc.property(damaged(...frames), (payload) => {
      const outcome = logIn(payload)
      if (typeof outcome === 'string') expect(Object.values(ProtocolError)).toContain(outcome)
      else expect(outcome.key).toEqual(Uint8Array.from(payload.subarray(0, 32)))
    }),
    { numRuns: 500 },
  )
})

it('any content of the box gives a ProtocolError or a complete ClientInfo', () => {
  const texts = Object.values(login.clientInfos).map(({ json }) => Buffer.from(json))
  fc.assert(
    fc.property(damaged(...texts), (plain) => {
      const outcome = logIn(payloadWith(plain))
      if (typeof outcome === 'string') expect(Object.values(ProtocolError)).toContain(outcome)
      else expect(JSON.parse(plain.toString('utf8'))).toBeTypeOf('object')
    }),
    { numRuns: 1_000 },
  )
})

it('writes ServerInfo byte for byte', () => {
  const frame = serverInfoFrame(boxWithA, login.serverInfo.nonce)
  expect(toHex(frame)).toBe(toHex(login.serverInfo.frame))
})

it('opens ServerInfo with the client key', () => {
  const box = agreed(new BoxSecret(keys.clientA.privateKey), keys.server.publicKey)
  const payload = login.serverInfo.frame.subarray(5)
  expect(Buffer.from(box.open(payload) ?? []).toString()).toBe(login.serverInfo.json)
  expect(openServerInfo(payload, box)).toEqual({
    version: 2,
    tokenBucketBytesPerSecond: 0,
    tokenBucketBytesBurst: 0,
  })
})

it.each([
  ['{}', 0, 0],
  ['null', 0, 0],
  ['{"version":2,"TokenBucketBytesPerSecond":1000,"TokenBucketBytesBurst":2000}', 1_000, 2_000],
  ['{"VERSION":9,"tokenbucketbytespersecond":5,"Later":[]}', 5, 0],
])('opens a ServerInfo with %s', (json, rate, burst) => {
  const opened = openServerInfo(boxWithA.seal(login.serverInfo.nonce, Buffer.from(json)), boxWithA)
  expect(opened).toMatchObject({ tokenBucketBytesPerSecond: rate, tokenBucketBytesBurst: burst })
})

it.each(['', '[]', '2', '{"version":"2"}', '{"TokenBucketBytesBurst":true}', '{"version":2}x'])(
  'rejects a ServerInfo with "%s"',
  (json) => {
    const sealed = boxWithA.seal(login.serverInfo.nonce, Buffer.from(json))
    expect(openServerInfo(sealed, boxWithA)).toBeUndefined()
  },
)

it('rejects a ServerInfo with any bit flipped, or truncated', () => {
  const payload = login.serverInfo.frame.subarray(5)
  for (let bit = 0; bit < payload.length * 8; bit++) {
    expect(openServerInfo(withFlippedBit(payload, bit), boxWithA)).toBeUndefined()
  }
  for (let length = 0; length < payload.length; length++) {
    expect(openServerInfo(payload.subarray(0, length), boxWithA)).toBeUndefined()
  }
})

function withFlippedBit(bytes: Uint8Array, bit: number): Buffer {
  const flipped = Buffer.from(bytes)
  flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
  return flipped
}
