// What is kept of kicks, in real folders: a later run refuses whom an earlier one has refused, and nobody for longer.

import { readFileSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { Bans } from '#admission/bans.ts'
import { newKeyPair } from '#client/derp-client.ts'
import { BanMemory } from '#control/ban-memory.ts'
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
}

function run(folder: string): Run {
  const bans = new Bans(() => performance.now())
  const memory = new BanMemory(folder, bans, Log.open('error', 'json'))
  memory.read()
  return { bans, memory }
}

it('a later run refuses whom an earlier one has kicked, until then; not who may come back', async () => {
  using folder = new TemporaryFolder()
  const first = run(folder.path)
  for (const [key, forMs] of [[ALICE, 60_000] as const, [BOB, 60_000] as const, [CATHY, 1] as const]) {
    first.bans.add(key, forMs)
    first.memory.keep(key)
  }
  first.bans.lift(BOB)
  first.memory.keep(BOB)
  await first.memory.stop()
  const { bans } = run(folder.path)
  expect([ALICE, BOB, CATHY].map((key) => bans.reason(key)?.replace(/\d+/, 'N'))).toEqual([
    'an operator has kicked it, for N s more',
    undefined,
    undefined,
  ])
  expect(bans.left()[0]?.[1]).toBeLessThanOrEqual(60_000)
})

it('two runs of one relay keep what each has kicked', async () => {
  using folder = new TemporaryFolder()
  const runs = [run(folder.path), run(folder.path)]
  for (const [n, { bans, memory }] of runs.entries()) {
    const key = n === 0 ? ALICE : BOB
    bans.add(key, 60_000)
    memory.keep(key)
    await memory.stop()
  }
  expect(run(folder.path).bans.size).toBe(2)
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
  expect(bans.size).toBe(0)
  bans.add(ALICE, 60_000)
  memory.keep(ALICE)
  await memory.stop()
  expect(readFileSync(folder.at('kicked.json'), 'utf8')).toContain(publicKeyText(ALICE))
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
