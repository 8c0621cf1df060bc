// What is kept of kicks and denials, in real folders: a later run refuses whom an earlier one has refused, and nobody for longer.

import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { Bans, BANS_MAX, type Ban } from '#admission/bans.ts'
import { newKeyPair } from '#client/derp-client.ts'
import { BanMemory } from '#control/ban-memory.ts'
import { DENY_REASON_BYTES_MAX } from '#fleet/kick.ts'
import { Log } from '#ops/log.ts'
import { keyPairFrom, publicKeyText } from '#protocol/node-key.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { checkedBy, LiveRelay } from '../support/live-relay.ts'

const TOKEN = 'a-token-of-thirty-two-characters'
const [ALICE, BOB, CATHY] = [1, 2, 3].map((n) => keyPairFrom(new Uint8Array(32).fill(n)).publicKey) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
]

interface Run {
  readonly bans: Bans
  readonly memory: BanMemory
  /** What another run has done: each key, and for how long. */
  readonly changes: (readonly [key: Uint8Array, forMs: number])[]
}

function run(folder: string): Run {
  const bans = new Bans(() => performance.now())
  const changes: [Uint8Array, number][] = []
  const memory = new BanMemory({
    folder,
    bans,
    log: new Log('error', { write: () => undefined }),
    onChange: (changed) => changed.forEach(([key, forMs]) => changes.push([key, forMs])),
  })
  memory.read()
  return { bans, memory, changes }
}

function kick(forMs: number): Ban {
  return { forMs, sinceMs: Date.now(), reason: '' }
}

const STANDING: Ban = { forMs: Infinity, sinceMs: 1_795_788_000_000, reason: 'ticket 4711: "copied" machine' }

it('a later run refuses whom an earlier one has kicked, until then; not who may come back', async () => {
  using folder = new TemporaryFolder()
  const first = run(folder.path)
  for (const [key, forMs] of [[ALICE, 60_000] as const, [BOB, 60_000] as const, [CATHY, 1] as const]) {
    first.bans.set(key, kick(forMs))
    void first.memory.keep(key)
  }
  first.bans.lift(BOB)
  void first.memory.keep(BOB)
  await first.memory.stop()
  const { bans } = run(folder.path)
  expect([ALICE, BOB, CATHY].map((key) => bans.refusal(key)?.replace(/\d+/, 'N'))).toEqual([
    'an operator denies it, for N s more',
    undefined,
    undefined,
  ])
  expect(bans.find(ALICE)?.forMs).toBeLessThanOrEqual(60_000)
})

it('two runs of one relay keep what each has kicked', async () => {
  using folder = new TemporaryFolder()
  const runs = [run(folder.path), run(folder.path)]
  for (const [n, { bans, memory }] of runs.entries()) {
    const key = n === 0 ? ALICE : BOB
    bans.set(key, kick(60_000))
    expect(await memory.keep(key)).toBe(true)
  }
  expect(run(folder.path).bans.counts.timed).toBe(2)
})

it.each([
  ['nothing', ''],
  ['half a file', '{"format":1,"untilMs":{"node'],
  ['a later version', '{"format":2,"untilMs":{}}'],
  ['null', 'null'],
  ['other values', `{"format":1,"untilMs":{"nodekey:${'0'.repeat(64)}":"soon","laptop":9e15}}`],
  ['no object', '{"format":1,"untilMs":null}'],
])('a file with %s is passed over, and replaced by the next kick', async (_what, text) => {
  using folder = new TemporaryFolder()
  writeFileSync(folder.at('kicked.json'), text)
  const { bans, memory } = run(folder.path)
  expect(bans.all()).toEqual([])
  bans.set(ALICE, kick(60_000))
  expect(await memory.keep(ALICE)).toBe(true)
  expect(readFileSync(folder.at('kicked.json'), 'utf8')).toContain(publicKeyText(ALICE))
})

it('what is denied without an end is so in a later run, since then and for that reason', async () => {
  using folder = new TemporaryFolder()
  const { bans, memory } = run(folder.path)
  bans.set(ALICE, STANDING)
  await memory.keep(ALICE)
  expect(run(folder.path).bans.find(ALICE)).toEqual(STANDING)
})

it('a version without denials refuses whom this one denies, and what it leaves is denied by this one', async () => {
  using folder = new TemporaryFolder()
  const { bans, memory } = run(folder.path)
  bans.set(ALICE, STANDING)
  await memory.keep(ALICE)
  // All that it reads, and all that it writes.
  const { format, untilMs } = JSON.parse(readFileSync(folder.at('kicked.json'), 'utf8')) as Record<
    string,
    unknown
  >
  expect([format, untilMs]).toEqual([1, { [publicKeyText(ALICE)]: 8.64e15 }])
  writeFileSync(folder.at('kicked.json'), JSON.stringify({ format, untilMs }))
  expect(run(folder.path).bans.find(ALICE)).toEqual({ forMs: Infinity, sinceMs: undefined, reason: '' })
})

it.each([
  ['too few details', '[]', ''],
  ['a reason that is too long', `[[1,"${'x'.repeat(DENY_REASON_BYTES_MAX + 1)}"]]`, ''],
  ['a reason that is none', '[["soon",{"a":1}]]', ''],
  ['no list', '7', ''],
  ['a good one', '[[1,"ticket 7"]]', 'ticket 7'],
])('of a file with %s, the key is denied all the same', (_what, details, reason) => {
  using folder = new TemporaryFolder()
  const until = `{"${publicKeyText(ALICE)}":8640000000000000}`
  writeFileSync(folder.at('kicked.json'), `{"format":1,"untilMs":${until},"details":${details}}`)
  expect(run(folder.path).bans.find(ALICE)).toMatchObject({ forMs: Infinity, reason })
})

it('as many as there may be, with the longest reasons, fit into what any version reads', async () => {
  using folder = new TemporaryFolder()
  const { bans, memory } = run(folder.path)
  // Escaped, each has two bytes.
  const longest = { ...STANDING, reason: '"'.repeat(DENY_REASON_BYTES_MAX / 2) }
  for (let n = 0; n < BANS_MAX; n++) {
    const key = new Uint8Array(32).fill(255)
    new DataView(key.buffer).setUint32(0, n)
    bans.set(key, longest)
  }
  await memory.keep(ALICE)
  const text = readFileSync(folder.at('kicked.json'), 'utf8')
  expect(text.length).toBeLessThan(2_097_152)
  expect(run(folder.path).bans.all()).toHaveLength(BANS_MAX)
})

it('each run does what the other has done, and tells of it', async () => {
  using folder = new TemporaryFolder()
  const [first, second] = [run(folder.path), run(folder.path)]
  first.bans.set(ALICE, STANDING)
  first.bans.set(BOB, kick(60_000))
  await Promise.all([ALICE, BOB].map(async (key) => await first.memory.keep(key)))
  second.memory.look()
  expect(second.changes.map(([key]) => key)).toEqual([ALICE, BOB])
  expect(second.changes[0]?.[1]).toBe(Infinity)
  expect(second.bans.find(ALICE)).toEqual(STANDING)
  second.bans.lift(ALICE)
  await second.memory.keep(ALICE)
  first.memory.look()
  expect(first.changes).toEqual([[ALICE, 0]])
  // Its own file is nothing new.
  second.memory.look()
  expect(second.changes).toHaveLength(2)
  // What one allows, a kick of the other does not bring back.
  first.bans.lift(BOB)
  await first.memory.keep(BOB)
  second.bans.set(CATHY, kick(60_000))
  await second.memory.keep(CATHY)
  expect(
    run(folder.path)
      .bans.all()
      .map(([key]) => key),
  ).toEqual([CATHY])
})

it('a folder that takes no file is no reason not to deny, and says so', async () => {
  using folder = new TemporaryFolder()
  const { bans, memory, changes } = run(folder.at('gone'))
  bans.set(ALICE, STANDING)
  expect(await memory.keep(ALICE)).toBe(false)
  memory.look()
  expect([bans.find(ALICE), changes]).toEqual([STANDING, []])
})

it('a file that is removed allows nobody', async () => {
  using folder = new TemporaryFolder()
  const { bans, memory } = run(folder.path)
  bans.set(ALICE, STANDING)
  await memory.keep(ALICE)
  rmSync(folder.at('kicked.json'))
  memory.look()
  expect(bans.find(ALICE)).toEqual(STANDING)
})

it('a client that was kicked does not get in by a restart of the relay', async () => {
  using folder = new TemporaryFolder()
  const member = newKeyPair()
  const settings = {
    nodeKey: newKeyPair(),
    stateFolder: folder.at('state'),
    admin: { host: '127.0.0.1', port: 0 },
    verbsToken: TOKEN,
    admission: checkedBy(undefined, {
      allowKeysPath: folder.write('keys', publicKeyText(member.publicKey)),
    }),
  }
  {
    await using relay = await LiveRelay.start(settings)
    await relay.client({ key: member })
    await fetch(`http://127.0.0.1:${relay.addresses.admin?.port}/v1/kick`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${TOKEN}` },
      body: JSON.stringify({ key: publicKeyText(member.publicKey), seconds: 60 }),
    })
  }
  await using relay = await LiveRelay.start(settings)
  await expect(relay.client({ key: member })).rejects.toThrow()
})
