import { expect, it } from 'vitest'
import { EndReason } from '#relay/end-reason.ts'
import { alice, bob, sibling, type Actor } from '../support/actor.ts'
import type { MemoryClient } from '../support/memory-client.ts'
import { admit, answer, noCancel, TestRelay, type TestRelayOptions } from '../support/test-relay.ts'
import { frames } from '../vectors/frames.ts'
import { meshKey } from '../vectors/keys.ts'
import * as login from '../vectors/login.ts'

const greeting = ['ServerKey server', 'ServerInfo version 2']
const meshHex = meshKey.toString('hex')

interface OutcomeOptions extends TestRelayOptions {
  readonly who?: Actor
}

/**
 * The result of a ClientInfo frame: the first line received, or the reason why the session ended without ServerInfo.
 */
function outcome(info: (client: MemoryClient) => Uint8Array, options: OutcomeOptions = {}): string {
  const who = options.who ?? alice
  const relay = new TestRelay(options)
  const client = relay.connect(who)
  const lines = client.send(info(client)).take()
  if (!client.isClosed) {
    expect(lines).toEqual(greeting)
    expect(relay.count('clientsCurrent')).toBe(1)
    return 'admitted'
  }
  expect(lines).not.toContain('ServerInfo version 2')
  expect(relay.count('clientsCurrent')).toBe(0)
  expect(relay.count('connectionsCurrent')).toBe(0)
  expect(relay.thread(0).relay.lentBytes).toBe(0)
  return relay.lastEnd ?? 'closed without a reason'
}

const outcomeOf = (text: string, options?: TestRelayOptions): string =>
  outcome((client) => client.clientInfoWith(text), options)

it.each(Object.entries(login.clientInfos))('the published %s logs in', (_name, { frame, from }) => {
  const who = [alice, bob, sibling].find(({ key }) => from.publicKey.equals(key))
  expect(outcome(() => frame, who === undefined ? {} : { who })).toBe('admitted')
})

it.each(Object.entries(login.refusedLogins))('the published %s is refused', (name, bytes) => {
  const reason = name === 'otherType' ? EndReason.clientInfoExpected : EndReason.clientInfoLength
  expect(outcome(() => bytes)).toBe(reason)
})

it('a ClientInfo of 262,144 bytes is read', () => {
  const padding = ' '.repeat(262_144 - 32 - 40 - 2)
  expect(outcomeOf(`{${padding}}`)).toBe('admitted')
})

it('a ClientInfo of 56 bytes has no box', () => {
  const frame = Buffer.concat([Buffer.from([2, 0, 0, 0, 56]), login.clientInfo.frame.subarray(5, 61)])
  expect(outcome(() => frame)).toBe(EndReason.boxRefused)
})

it('a box with one bit flipped is refused, wherever it is', () => {
  const { frame } = login.clientInfo
  for (let at = 5; at < frame.length; at++) {
    const flipped = Buffer.from(frame)
    flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << (at % 8)), at)
    expect(outcome(() => flipped)).toBe(EndReason.boxRefused)
  }
})

it('the all-zero key and keys of low order are refused', () => {
  const withKey = (key: Buffer): Buffer => {
    const frame = Buffer.from(login.clientInfo.frame)
    key.copy(frame, 5)
    return frame
  }
  expect(outcome(() => withKey(Buffer.alloc(32)))).toBe(EndReason.keyZero)
  const one = Buffer.alloc(32)
  one.writeUInt8(1)
  expect(outcome(() => withKey(one))).toBe(EndReason.boxRefused)
})

it.each([
  '{}',
  'null',
  ' {"version":2} ',
  '{"version":0}',
  '{"version":1}',
  '{"version":3}',
  '{"VERSION":2,"canackpings":true,"ISPROBER":false}',
  '{"Version":2,"unheardOf":[{"x":1}]}',
])('%s is a valid login', (text) => {
  expect(outcomeOf(text)).toBe('admitted')
})

it.each([
  '[]',
  '1',
  '"x"',
  '',
  '{',
  '{}{}',
  '{"version":2}x',
  '{"version":"2"}',
  '{"CanAckPings":1}',
  '{"IsProber":"yes"}',
])('%s is no valid login', (text) => {
  expect(outcomeOf(text)).toBe(EndReason.clientInfoJson)
})

it.each(['', 'x', meshHex.slice(2), `${meshHex}00`, `g${meshHex.slice(1)}`])(
  'a mesh key of "%s" is refused',
  (text) => {
    expect(outcomeOf(JSON.stringify({ meshKey: text }))).toBe(EndReason.meshKeySyntax)
  },
)

it.each(['{"meshKey":null}', '{"meshKey":7}'])('%s is refused', (text) => {
  expect(outcomeOf(text)).toBe(EndReason.meshKeySyntax)
})

const refused = 'Health "mesh key refused"'
const other = 'ab'.repeat(32)
it.each([
  ['the mesh key', { meshKey: meshHex }, {}, undefined],
  ['the mesh key in upper case', { meshKey: meshHex.toUpperCase() }, {}, undefined],
  ['the mesh key under a name in other case', { MeshKey: meshHex }, {}, undefined],
  ['another mesh key', { meshKey: other }, {}, EndReason.meshKeyRefused],
  ['another mesh key, and asks', { meshKey: other, TellInstance: true }, {}, EndReason.meshKeyRefused],
  ['a mesh key of zeros', { meshKey: '0'.repeat(64) }, {}, EndReason.notPrivileged],
  ['no mesh key', {}, {}, EndReason.notPrivileged],
  [
    'the mesh key where the relay has none',
    { meshKey: meshHex },
    { isWithoutMesh: true },
    EndReason.meshKeyRefused,
  ],
])('a client with %s is admitted, and privileged or not', (_what, info, options, refusal) => {
  const relay = new TestRelay(options)
  const client = relay.connect(sibling)
  expect(client.send(client.clientInfoWith(JSON.stringify(info))).take()).toEqual(greeting)
  client.send(frames.watchConns).settled()
  expect([client.isClosed, relay.lastEnd]).toEqual([refusal !== undefined, refusal])
  // derper says nothing; a derpfleet relay that asks is told why.
  if (refusal !== undefined) expect(client.take()).toEqual('TellInstance' in info ? [refused] : [])
})

it.each([
  [
    'shows a wrong mesh key',
    { meshKey: new Uint8Array(32).fill(9), wantsInstance: true },
    EndReason.meshKeyRefused,
    [refused],
  ],
  ['shows none', {}, EndReason.admissionRefused, []],
])('a client that is refused and %s is told the likely reason', (_what, info, reason, lines) => {
  const relay = new TestRelay({ admission: admit(false) })
  const client = relay.connect(sibling).logIn(info)
  expect([client.isClosed, relay.lastEnd]).toEqual([true, reason])
  expect(client.take().slice(1)).toEqual(lines)
})

it.each([
  ['', 'admitted'],
  ['an app 1.0 ~!', 'admitted'],
  ['x'.repeat(32), 'admitted'],
  ['x'.repeat(33), EndReason.appNameInvalid],
  ['tab\t', EndReason.appNameInvalid],
  ['ümlaut', EndReason.appNameInvalid],
  ['bad-app', EndReason.appNameRefused],
  ['Bad-App', 'admitted'],
])('the app name "%s" is %s', (appName, expected) => {
  expect(outcomeOf(JSON.stringify({ AppName: appName }), { disallowedAppNames: ['bad-app', 'x'] })).toBe(
    expected,
  )
})

it('a sibling is admitted whatever its app name and without asking admission', () => {
  const asked: unknown[] = []
  const relay = new TestRelay({
    disallowedAppNames: ['bad-app'],
    admission: {
      ask: (request, decide) => {
        asked.push(request)
        decide(answer(false))
        return noCancel
      },
    },
  })
  const client = relay.connect(sibling)
  client.send(client.clientInfo({ meshKey, appName: 'bad-app' }))
  expect(client.take()).toEqual(greeting)
  expect(asked).toEqual([])
})

it('a client with a wrong mesh key is to watchers a client like any other', () => {
  const present = [{ meshKey: new Uint8Array(32).fill(9) }, {}].map((info) => {
    const relay = new TestRelay()
    const watcher = relay.joinSibling(sibling).send(frames.watchConns)
    watcher.take()
    relay.connect(alice, { port: 40_100 }).logIn(info)
    return watcher.take()
  })
  expect(present[0]).toHaveLength(1)
  expect(present[0]).toEqual(present[1])
})

it('a sibling is told which run of the relay answers if it asks, and otherwise what derper says', () => {
  const relay = new TestRelay({ instance: 'a run' })
  const told = (info: object): unknown => {
    const client = relay.connect(sibling)
    return client
      .send(client.clientInfoWith(JSON.stringify(info)))
      .take()
      .at(-1)
  }
  expect(told({ meshKey: meshHex, TellInstance: true })).toBe('ServerInfo version 2 of a run')
  expect(told({ meshKey: meshHex })).toBe('ServerInfo version 2')
  expect(told({ TellInstance: true })).toBe('ServerInfo version 2')
})
