import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import {
  initiate,
  keepalive,
  kdf1,
  kdf3,
  openKeepalive,
  proveInitiation,
  readInitiation,
  readResponse,
  respond,
  type StaticKey,
} from '#lane/noise.ts'
import { X25519Secret } from '#protocol/x25519.ts'

/** Of wireguard-go's own test (device/kdf_test.go): key, input, and the three results. */
const KDF_VECTORS = [
  [
    '746573742d6b6579',
    '746573742d696e707574',
    '6f0e5ad38daba1bea8a0d213688736f19763239305e0f58aba697f9ffc41c633',
    'df1194df20802a4fe594cde27e92991c8cae66c366e8106aaa937a55fa371e8a',
    'fac6e2745a325f5dc5d11a5b165aad08b0ada28e7b4e666b7c077934a4d76c24',
  ],
  [
    '776972656775617264',
    '776972656775617264',
    '491d43bbfdaa8750aaf535e334ecbfe5129967cd64635101c566d4caefda96e8',
    '1e71a379baefd8a79aa4662212fcafe19a23e2b609a3db7d6bcba8f560e3d25f',
    '31e1ae48bddfbe5de38f295e5452b1909a1b4e38e183926af3780b0c1e1f0160',
  ],
  [
    '',
    '',
    '8387b46bf43eccfcf349552a095d8315c4055beb90208fb1be23b894bc2ed5d0',
    '58a0e5f6faefccf4807bff1f05fa8a9217945762040bcec2f4b4a62bdfe0e86e',
    '0ce6ea98ec548f8e281e93e32db65621c45eb18dc6f0a7ad94178610a2f7338e',
  ],
] as const

const TIMESTAMP = randomBytes(12)

function actor(): StaticKey {
  const secret = new X25519Secret(randomBytes(32))
  return { secret, publicKey: secret.publicKey }
}

function agreed(one: StaticKey, other: StaticKey): Uint8Array {
  return one.secret.agree(other.publicKey) as Uint8Array
}

function initiation(from: StaticKey, to: StaticKey): NonNullable<ReturnType<typeof initiate>> {
  const made = initiate(
    from,
    { publicKey: to.publicKey, shared: agreed(from, to) },
    { index: 7, timestamp: TIMESTAMP, ephemeralKey: randomBytes(32) },
  )
  return made as NonNullable<typeof made>
}

it('derives keys as wireguard-go does', () => {
  const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))
  for (const [key, input, ...expected] of KDF_VECTORS) {
    const made = kdf3(bytes(key), bytes(input)).map((one) => Buffer.from(one).toString('hex'))
    expect(made).toEqual(expected)
    expect(Buffer.from(kdf1(bytes(key), bytes(input))).toString('hex')).toBe(expected[0])
  }
})

it('alice and bob agree on keys, and each opens what the other has sealed', () => {
  const [alice, bob] = [actor(), actor()]
  const { message, sent } = initiation(alice, bob)
  const read = readInitiation(bob, message)
  expect(read?.staticKey).toEqual(alice.publicKey)
  const proven = read && proveInitiation(read, agreed(bob, alice))
  expect(proven?.timestamp).toEqual(new Uint8Array(TIMESTAMP))
  const response = proven && respond(proven, 9, randomBytes(32))
  if (response === undefined) throw new Error('no response')
  expect([response.message.readUInt32LE(4), response.message.readUInt32LE(8)]).toEqual([9, 7])
  const keys = readResponse(sent, response.message)
  if (keys === undefined) throw new Error('no keys')
  expect(openKeepalive(response.keys, keepalive(keys, 9, 41))).toBe(41)
  expect(openKeepalive(keys, keepalive(response.keys, 7, 42))).toBe(42)
  expect(openKeepalive(keys, keepalive(keys, 7, 43))).toBeUndefined()
})

it('a changed bit, another responder or another initiator is noticed', () => {
  const [alice, bob, cathy] = [actor(), actor(), actor()]
  const { message, sent } = initiation(alice, bob)
  expect(readInitiation(cathy, message)).toBeUndefined()
  for (const at of [8, 39, 40, 87]) expect(readInitiation(bob, changed(message, at))).toBeUndefined()
  const late = readInitiation(bob, changed(message, 115))
  expect(late && proveInitiation(late, agreed(bob, alice))).toBeUndefined()
  const read = readInitiation(bob, message)
  expect(read && proveInitiation(read, agreed(bob, cathy))).toBeUndefined()
  const proven = read && proveInitiation(read, agreed(bob, alice))
  const response = proven && respond(proven, 9, randomBytes(32))
  if (response === undefined) throw new Error('no response')
  for (const at of [12, 43, 44, 59]) expect(readResponse(sent, changed(response.message, at))).toBeUndefined()
  expect(readResponse(initiation(alice, bob).sent, response.message)).toBeUndefined()
})

it('keys of low order make no handshake', () => {
  const [alice, bob] = [actor(), actor()]
  const { message } = initiation(alice, bob)
  message.fill(0, 8, 40)
  expect(readInitiation(bob, message)).toBeUndefined()
  const nobody = { publicKey: new Uint8Array(32), shared: new Uint8Array(32) }
  const fields = { index: 1, timestamp: TIMESTAMP, ephemeralKey: randomBytes(32) }
  expect(initiate(alice, nobody, fields)).toBeUndefined()
})

function changed(message: Buffer, at: number): Buffer {
  const copy = Buffer.from(message)
  copy.writeUInt8(copy.readUInt8(at) ^ 4, at)
  return copy
}
