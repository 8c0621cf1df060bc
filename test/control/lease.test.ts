// A relay that goes by a lease alone: no back end, no tailscaled, no list. Real sockets, a real file and a real clock.

import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { renameSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { DerpClient } from '#client/derp-client.ts'
import { newKeyPair } from '#client/derp-client.ts'
import type { Settings } from '#config/settings.ts'
import { leaseKeyText, leaseText, type LeaseEntry } from '#protocol/lease.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { checkedBy, LiveRelay } from '../support/live-relay.ts'

const SIGNER = generateKeyPairSync('ed25519').privateKey
const ALICE = newKeyPair()
const BOB = newKeyPair()
const STRANGER = newKeyPair()
const HOUR_MS = 3_600_000

let folder: TemporaryFolder
let relays: LiveRelay[]
beforeEach(() => {
  folder = new TemporaryFolder()
  relays = []
})
afterEach(async () => {
  for (const relay of relays) await relay[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

interface Made {
  readonly serial: number
  /** Each with the time that it has left. */
  readonly members: readonly (readonly [KeyPair, number])[]
  readonly denied?: readonly KeyPair[]
  readonly leftMs?: number
  readonly fromMs?: number
  readonly by?: KeyObject
  readonly tenantOf?: (member: KeyPair) => string
}

function made({
  serial,
  members,
  denied = [],
  leftMs = HOUR_MS,
  fromMs = 0,
  by = SIGNER,
  tenantOf,
}: Made): string {
  const nowMs = 1_000 * Math.ceil(Date.now() / 1_000)
  const entryOf = (pair: KeyPair, isAllowed: boolean, entryMs: number): LeaseEntry => {
    const untilMs = nowMs + entryMs
    return { key: pair.publicKey, isAllowed, tenant: tenantOf?.(pair), untilMs, name: undefined }
  }
  const entries = [
    ...members.map(([member, entryMs]) => entryOf(member, true, entryMs)),
    ...denied.map((one) => entryOf(one, false, HOUR_MS)),
  ]
  return leaseText({ serial, notBeforeMs: nowMs - HOUR_MS + fromMs, notAfterMs: nowMs + leftMs, entries }, by)
}

/** As `derpfleet lease make` writes it. */
function put(text: string): string {
  const path = folder.at('members.lease')
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
  return path
}

async function start(more: Partial<Settings> = {}, keys = [SIGNER]): Promise<LiveRelay> {
  const lease = { path: folder.at('members.lease'), keys: keys.map(leaseKeyText) }
  const relay = await LiveRelay.start({
    admission: checkedBy(undefined, { lease }),
    admin: { host: '127.0.0.1', port: 0 },
    threadCount: 2,
    ...more,
  })
  relays.push(relay)
  return relay
}

const isIn = async (relay: LiveRelay, key: KeyPair): Promise<boolean> =>
  await relay.client({ key }).then(
    async (client) => {
      await client.close()
      return true
    },
    () => false,
  )

/** When the client's connection ended, by the host's clock; undefined while it has not. */
function endOf(client: DerpClient): { ms: number | undefined } {
  const end: { ms: number | undefined } = { ms: undefined }
  client.on('closed', () => (end.ms = Date.now()))
  return end
}

const readiness = async (relay: LiveRelay): Promise<string> => await relay.page('/readyz?verbose')

it('members are in, strangers and those whom it denies are not', async () => {
  put(made({ serial: 1, members: [[ALICE, HOUR_MS]], denied: [BOB] }))
  const relay = await start()
  expect(await isIn(relay, ALICE)).toBe(true)
  expect(await isIn(relay, BOB)).toBe(false)
  expect(await isIn(relay, STRANGER)).toBe(false)
  const samples = await relay.samples(/^derp_admission_(lease|keys)/)
  expect(samples.get('derp_admission_keys{state="leased"}')).toBe(2)
  expect(samples.get('derp_admission_lease_serial')).toBe(1)
  const [fromS = 0, untilS = 0] = ['before', 'after'].map((end) =>
    samples.get(`derp_admission_lease_not_${end}_timestamp_seconds`),
  )
  expect(untilS).toBeGreaterThan(Date.now() / 1_000)
  expect(untilS - fromS).toBe((2 * HOUR_MS) / 1_000)
  expect(await readiness(relay)).toMatch(/lease 1 with 2 keys until/)
})

it('the end of a key, and of the whole lease, ends connections, and the relay is not ready without a lease', async () => {
  put(
    made({
      serial: 1,
      members: [
        [ALICE, 3_000],
        [BOB, HOUR_MS],
      ],
      leftMs: 6_000,
    }),
  )
  const relay = await start()
  const [endS = 0] = (await relay.samples(/lease_not_after_timestamp/)).values()
  const endMs = 1_000 * endS
  const ends = [ALICE, BOB].map(async (key) => endOf(await relay.client({ key })))
  const [alice, bob] = await Promise.all(ends)
  await expect.poll(() => alice?.ms, { timeout: 6_000 }).toBeDefined()
  expect(bob?.ms).toBeUndefined()
  expect(await isIn(relay, ALICE)).toBe(false)
  await expect.poll(() => bob?.ms, { timeout: 6_000 }).toBeDefined()
  expect((alice?.ms ?? 0) - endMs + 3_000).toBeGreaterThanOrEqual(0)
  expect((bob?.ms ?? 0) - endMs).toBeGreaterThanOrEqual(0)
  // A second, and what a busy machine adds.
  expect((bob?.ms ?? 0) - endMs).toBeLessThan(2_500)
  expect(await isIn(relay, BOB)).toBe(false)
  expect(await readiness(relay)).toMatch(/lease 1 has ended at/)
  // The next one makes all well again.
  put(made({ serial: 2, members: [[BOB, HOUR_MS]] }))
  await expect.poll(async () => await isIn(relay, BOB), { timeout: 10_000 }).toBe(true)
  expect(await readiness(relay)).toMatch(/lease 2 with 1 keys/)
})

it('a key that the next lease does not have is ended, and one that it has stays', async () => {
  put(
    made({
      serial: 1,
      members: [
        [ALICE, HOUR_MS],
        [BOB, HOUR_MS],
      ],
    }),
  )
  const relay = await start({ admission: { ...checkedBy(undefined), recheckMs: 0, lease: leaseSettings() } })
  const ends = [ALICE, BOB].map(async (key) => endOf(await relay.client({ key })))
  const [alice, bob] = await Promise.all(ends)
  put(made({ serial: 2, members: [[BOB, HOUR_MS]] }))
  await expect.poll(() => alice?.ms, { timeout: 10_000 }).toBeDefined()
  expect(await isIn(relay, ALICE)).toBe(false)
  await sleep(1_500)
  expect(bob?.ms).toBeUndefined()
})

function leaseSettings(): { path: string; keys: readonly string[] } {
  return { path: folder.at('members.lease'), keys: [leaseKeyText(SIGNER)] }
}

it('whatever is no later lease of the right key changes nothing', async () => {
  const first = made({ serial: 5, members: [[ALICE, HOUR_MS]] })
  put(first)
  const relay = await start()
  const alice = endOf(await relay.client({ key: ALICE }))
  const members = [[STRANGER, HOUR_MS]] as const
  const bad = [
    made({ serial: 4, members }),
    made({ serial: 5, members }),
    made({ serial: 6, members, by: generateKeyPairSync('ed25519').privateKey }),
    made({ serial: 6, members }).slice(0, -30),
    made({ serial: 6, members, leftMs: -1_000 }),
    made({ serial: 6, members, fromMs: 2 * HOUR_MS, leftMs: 3 * HOUR_MS }),
    first.replace(
      /allow nodekey:[0-9a-f]*/,
      `allow nodekey:${Buffer.from(STRANGER.publicKey).toString('hex')}`,
    ),
    '',
  ]
  const outcome = async (): Promise<number | undefined> =>
    (await relay.samples(/^derp_config_last_reload_successful{file="lease-file"}/)).values().next().value
  for (const text of bad) {
    put(text)
    await expect.poll(outcome, { timeout: 10_000 }).toBe(0)
    expect(await isIn(relay, STRANGER)).toBe(false)
    expect(await isIn(relay, ALICE)).toBe(true)
    put(first)
    await expect.poll(outcome, { timeout: 10_000 }).toBe(1)
  }
  expect(alice.ms).toBeUndefined()
}, 90_000)

it('a relay that is restarted goes by the lease that it had, and takes no older one', async () => {
  const nodeKey = newKeyPair()
  const stateFolder = folder.at('state')
  put(made({ serial: 5, members: [[ALICE, HOUR_MS]] }))
  const before = await start({ nodeKey, stateFolder })
  expect(await isIn(before, ALICE)).toBe(true)
  await before[Symbol.asyncDispose]()
  relays = []
  for (const text of [made({ serial: 4, members: [[BOB, HOUR_MS]] }), 'half a', '']) {
    put(text)
    const after = await start({ nodeKey, stateFolder })
    expect([await isIn(after, ALICE), await isIn(after, BOB)]).toEqual([true, false])
    await after[Symbol.asyncDispose]()
    relays = []
  }
  // Another key signs from now on: what the old one has signed counts no more.
  const other = generateKeyPairSync('ed25519').privateKey
  put(made({ serial: 1, members: [[BOB, HOUR_MS]], by: other }))
  const last = await start({ nodeKey, stateFolder }, [other])
  expect([await isIn(last, ALICE), await isIn(last, BOB)]).toEqual([false, true])
})

it('a lease that comes before its time is used when that has come', async () => {
  put(made({ serial: 1, members: [[ALICE, HOUR_MS]] }))
  const relay = await start()
  // A minute before it begins, relays take it: clocks differ.
  put(made({ serial: 2, members: [[BOB, HOUR_MS]], fromMs: HOUR_MS + 67_000 }))
  await expect
    .poll(async () => await relay.page('/metrics'), { timeout: 10_000 })
    .toMatch(/last_reload_successful{file="lease-file"} 0/)
  expect(await isIn(relay, BOB)).toBe(false)
  await expect.poll(async () => await isIn(relay, BOB), { timeout: 10_000 }).toBe(true)
  expect(await isIn(relay, ALICE)).toBe(false)
})

it('a kick and the list come before the lease, and the list admits whom it does not have', async () => {
  put(made({ serial: 1, members: [[ALICE, HOUR_MS]] }))
  const hex = (pair: KeyPair): string => Buffer.from(pair.publicKey).toString('hex')
  const allowKeysPath = folder.write('keys', `deny nodekey:${hex(ALICE)}\nallow nodekey:${hex(BOB)}\n`)
  const relay = await start({ admission: checkedBy(undefined, { allowKeysPath, lease: leaseSettings() }) })
  expect(await Promise.all([ALICE, BOB, STRANGER].map(async (key) => await isIn(relay, key)))).toEqual([
    false,
    true,
    false,
  ])
})

it('the tenants of a lease are kept apart, and the next lease brings two together', async () => {
  const members = [
    [ALICE, HOUR_MS],
    [BOB, HOUR_MS],
  ] as const
  put(made({ serial: 1, members, tenantOf: (member) => (member === ALICE ? 'blue' : 'red') }))
  const admission = { ...checkedBy(undefined), isolatesTenants: true, lease: leaseSettings() }
  const relay = await start({ admission })
  const [alice, bob] = [await relay.client({ key: ALICE }), await relay.client({ key: BOB })]
  let arrived = 0
  bob.on('packet', () => arrived++)
  const dropped = async (): Promise<number> =>
    [...(await relay.samples(/^derp_dropped_packets_total{.*reason="tenant"/)).values()].reduce(
      (sum, count) => sum + count,
      0,
    )
  const send = (): void => void alice.send(BOB.publicKey, Buffer.from('for bob'))
  send()
  await expect.poll(dropped, { timeout: 5_000 }).toBe(1)
  expect(arrived).toBe(0)
  put(made({ serial: 2, members, tenantOf: () => 'red' }))
  const sent = async (): Promise<number> => {
    send()
    return await Promise.resolve(arrived)
  }
  await expect.poll(sent, { timeout: 10_000 }).toBeGreaterThan(0)
})
