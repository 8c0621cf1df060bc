// `derpfleet kick -fleet` and `deny -fleet` in a fleet of two relays, as processes: a client is cut off on whichever relay it is, and stays away. A
// sibling that the operator does not take kicks from can do neither, whether it is a relay of the fleet or has only the mesh key.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { writeKick } from '#fleet/kick.ts'
import { closePeerFrame, relayStateFrame } from '#protocol/frames.ts'
import { publicKeyText, type KeyPair } from '#protocol/node-key.ts'
import { derpfleet } from '../cli/program.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import type { RunResult } from '../support/process.ts'
import { RawSibling } from '../support/raw-sibling.ts'
import { RegionPair } from '../support/region-pair.ts'

/** By docs/admission.md, a relay with a link has done it by then, or is named. */
const STATED_MS = 5_000

let folder: TemporaryFolder
let pair: RegionPair
const members = Array.from({ length: 9 }, newKeyPair)
const clients: DerpClient[] = []

beforeAll(async () => {
  folder = new TemporaryFolder()
  const list = folder.write('keys', members.map(({ publicKey }) => `${publicKeyText(publicKey)}\n`).join(''))
  const token = folder.write('token', 'a-token-of-thirty-two-characters')
  pair = await RegionPair.start({
    // The second relay takes kicks from the first one, and the first one from nobody.
    args: (which, [first]) => {
      const both = ['-allow-keys-file', list, '-verbs-token-file', token, '-threads', '2']
      return which === 0 ? both : [...both, '-kicks-from', publicKeyText(first.publicKey)]
    },
  })
}, 60_000)
afterAll(async () => {
  await Promise.all(clients.map(async (client) => await client.close()))
  await pair[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

async function join(which: 0 | 1, key: KeyPair): Promise<DerpClient> {
  const target = pair.targets[which]
  if (target === undefined) throw new Error('two relays were expected')
  const client = await DerpClient.connect({ ...target, key })
  clients.push(client)
  return client
}

async function kick(at: 0 | 1, key: KeyPair, ...more: string[]): Promise<RunResult> {
  return await order(at, ['kick', '-key', publicKeyText(key.publicKey), ...more])
}

async function order(at: 0 | 1, args: readonly string[]): Promise<RunResult> {
  const there = ['-addr', `127.0.0.1:${pair.adminPorts[at]}`, '-token-file', folder.at('token')]
  return await derpfleet([...args, ...there])
}

function logged(which: 0 | 1, event: string): readonly Record<string, unknown>[] {
  const lines = pair.relay(which).output.split('\n')
  return lines
    .filter((line) => line.includes(`"event":"${event}"`))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

async function denied(which: 0 | 1): Promise<number> {
  return (await pair.metrics(which)).get('derp_verbs_denied_total{reason="sibling"}') ?? -1
}

it('cuts a client off on whichever relay it is, for as long as it says', async () => {
  const [here, there, both] = members as [KeyPair, KeyPair, KeyPair]
  const bystander = await join(1, members[3] as KeyPair)
  for (const [key, on] of [[here, [0]] as const, [there, [1]] as const, [both, [0, 1, 1]] as const]) {
    const joined = await Promise.all(on.map(async (which) => await join(which, key)))
    const ends = joined.map(async (client) => await client.next('closed'))
    const result = await kick(0, key, '-fleet', '-for', '60s')
    const counts = [0, 1].map((which) => on.filter((one) => one === which).length)
    expect(result).toMatchObject({ code: 0, stderr: '' })
    expect(result.stdout).toContain(`: ${ended(counts[0])}, refused for 60 s\n`)
    expect(result.stdout).toContain(`localhost:${pair.ports[1]}: ${ended(counts[1])}\n`)
    await Promise.all(ends)
    for (const which of [0, 1] as const) await expect(join(which, key)).rejects.toThrow()
  }
  expect(bystander.isConnected).toBe(true)
  // Both sides have a line for each.
  const caller = `sibling ${publicKeyText(pair.keys[0].publicKey)}`
  expect(logged(0, 'verb_called').filter(({ verb }) => verb === 'kick')).toHaveLength(3)
  expect(logged(1, 'verb_called').filter((line) => line.caller === caller)).toMatchObject(
    [here, there, both].map(({ publicKey }) => ({
      verb: 'kick',
      key: publicKeyText(publicKey),
      seconds: 60,
      result: 'done',
    })),
  )
  // -for 0 lifts the refusal everywhere.
  expect((await kick(0, there, '-fleet', '-for', '0')).code).toBe(0)
  for (const which of [0, 1] as const) await join(which, there)
}, 30_000)

it('names a relay that takes no kicks from this one, and that relay changes nothing', async () => {
  const key = members[4] as KeyPair
  const stays = await join(0, key)
  const result = await kick(1, key, '-fleet', '-for', '60s')
  expect(result.code).toBe(1)
  expect(result.stdout).toContain(
    `localhost:${pair.ports[0]}: NOT DONE: it takes no kicks from this relay; see -kicks-from`,
  )
  await stays.ping()
  await join(0, key)
  await expect(join(1, key)).rejects.toThrow()
  expect(await denied(0)).toBe(1)
  expect(logged(0, 'verb_denied')).toMatchObject([
    { address: `sibling ${publicKeyText(pair.keys[1].publicKey)}`, reason: 'kicks are not taken from it' },
  ])
}, 20_000)

it('denies a client on all relays until it is allowed, each with an audit line, and lists it with the reason', async () => {
  const key = members[8] as KeyPair
  const text = publicKeyText(key.publicKey)
  const joined = [await join(0, key), await join(1, key)]
  const ends = joined.map(async (client) => await client.next('closed'))
  const denied = await order(0, ['deny', text, '-reason', 'ticket 4711', '-fleet'])
  expect(denied).toMatchObject({ code: 0, stderr: '' })
  expect(denied.stdout).toContain(': 1 connection ended, denied until it is allowed again\n')
  expect(denied.stdout).toContain(`localhost:${pair.ports[1]}: 1 connection ended\n`)
  await Promise.all(ends)
  for (const which of [0, 1] as const) {
    await expect(join(which, key)).rejects.toThrow()
    const list = await order(which, ['deny', '-list'])
    expect(list.stdout).toMatch(new RegExp(`^${text}  20[\\dT:-]+Z  allowed +-  ticket 4711$`, 'm'))
    const { denied: rows } = JSON.parse((await order(which, ['deny', '-list', '-json'])).stdout) as {
      denied: readonly Record<string, unknown>[]
    }
    expect(rows.filter((row) => row['key'] === text)).toMatchObject([
      { until: null, remainingSeconds: null, reason: 'ticket 4711' },
    ])
    // The log says of the login why it was refused.
    const cause = 'an operator denies it: ticket 4711'
    expect(logged(which, 'session_ended').filter((line) => line['cause'] === cause)).toMatchObject([
      { reason: 'denied_by_operator' },
    ])
  }
  expect((await order(0, ['allow', text, '-fleet'])).stdout).toMatch(
    /: not denied any more\n {2}localhost:\d+: done\n$/,
  )
  for (const which of [0, 1] as const) await join(which, key)
  const caller = `sibling ${publicKeyText(pair.keys[0].publicKey)}`
  const lines = [0, 1].map((which) =>
    logged(which as 0 | 1, 'verb_called').filter((line) => line['key'] === text),
  )
  expect(lines).toMatchObject([
    [
      { verb: 'deny', why: 'ticket 4711', fleet: true, result: 'done' },
      { verb: 'allow', fleet: true, result: 'done' },
    ],
    [
      { verb: 'deny', caller, why: 'ticket 4711', result: 'done' },
      { verb: 'allow', caller, result: 'done' },
    ],
  ])
  // The other one takes no such orders from there.
  const there = await order(1, ['deny', text, '-for', '60s', '-fleet'])
  expect([there.code, there.stdout]).toEqual([1, expect.stringContaining('NOT DONE: it takes no kicks')])
  await join(0, key)
  expect((await order(1, ['allow', text])).code).toBe(0)
  const misuse = await order(0, ['deny', text, '-reason', 'x'.repeat(81)])
  expect([misuse.code, misuse.stderr]).toEqual([2, expect.stringContaining('-reason')])
}, 30_000)

it('without -fleet only the relay that is asked does it', async () => {
  const key = members[5] as KeyPair
  const stays = await join(1, key)
  expect((await kick(0, key, '-for', '60s')).stdout).not.toContain('localhost')
  await stays.ping()
}, 20_000)

it('who has the mesh key alone can neither kick nor close', async () => {
  const key = members[6] as KeyPair
  const stays = await join(1, key)
  await using stranger = await RawSibling.open(pair.ports[1], pair.meshKey)
  const ask = { kick: 'ask', id: 'x', key: key.publicKey, seconds: 60 } as const
  await stranger.send(relayStateFrame(writeKick(ask)), closePeerFrame(key.publicKey))
  await stranger.answered()
  await expect.poll(async () => await denied(1), { timeout: STATED_MS }).toBe(1)
  await stays.ping()
  await join(1, key)
  expect((await pair.metrics(1)).get('derp_close_peers_refused_total')).toBe(1)
}, 20_000)

it('a relay that is gone is named, and the others do it', async () => {
  const key = members[7] as KeyPair
  const here = await join(0, key)
  const end = here.next('closed')
  pair.relay(1).signal('SIGKILL')
  await pair.relay(1).exited
  const result = await kick(0, key, '-fleet')
  expect(result.code).toBe(1)
  expect(result.stdout).toMatch(/localhost:\d+: NOT DONE: it (was not asked|has not answered)/)
  await end
}, 30_000)

function ended(count = 0): string {
  return `${count} connection${count === 1 ? '' : 's'} ended`
}
