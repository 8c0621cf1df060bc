// Keys that an operator denies, by the verbs of a running relay with its threads and sockets.

import { expect, it } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { publicKeyText, type KeyPair } from '#protocol/node-key.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { checkedBy, LiveRelay } from '../support/live-relay.ts'

const TOKEN = 'a-token-of-thirty-two-characters'
const METRICS =
  /^derp_(admission_keys\{state="(kicked|denied)"\}|admission_total\{result="denied(_by_operator)?"\}|sessions_ended_total\{reason="(kicked|denied_by_operator)"\})$/

interface Place {
  readonly folder: TemporaryFolder
  readonly members: readonly KeyPair[]
}

async function start({ folder, members }: Place, stateFolder = folder.at('state')): Promise<LiveRelay> {
  const list = members.map(({ publicKey }) => `${publicKeyText(publicKey)}\n`).join('')
  return await LiveRelay.start({
    nodeKey: members[0] as KeyPair,
    threadCount: 2,
    stateFolder: stateFolder === '' ? undefined : stateFolder,
    admin: { host: '127.0.0.1', port: 0 },
    verbsToken: TOKEN,
    admission: checkedBy(undefined, { allowKeysPath: folder.write('keys', list) }),
  })
}

async function call(relay: LiveRelay, verb: string, body?: object): Promise<Record<string, unknown>> {
  const answer = await fetch(`http://127.0.0.1:${relay.addresses.admin?.port}/v1/${verb}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { Authorization: `Bearer ${TOKEN}` },
    ...(body && { body: JSON.stringify(body) }),
  })
  return (await answer.json()) as Record<string, unknown>
}

it(
  'ends a client, refuses it over restarts until it is allowed, and lists it',
  { timeout: 30_000 },
  async () => {
    using folder = new TemporaryFolder()
    const members = [newKeyPair(), newKeyPair(), newKeyPair()]
    const [, member, other] = members as [KeyPair, KeyPair, KeyPair]
    const key = publicKeyText(member.publicKey)
    const place = { folder, members }
    {
      await using relay = await start(place)
      const ended: string[] = []
      for (let n = 0; n < 3; n++)
        (await relay.client({ key: member })).on('closed', () => ended.push('member'))
      ;(await relay.client({ key: other })).on('closed', () => ended.push('other'))
      expect(await call(relay, 'deny', { key, why: 'ticket 4711' })).toEqual({
        key: expect.any(String) as string,
        ended: 3,
        deniedForSeconds: null,
        isKept: true,
      })
      await expect.poll(() => ended).toEqual(['member', 'member', 'member'])
      await expect(relay.client({ key: member })).rejects.toThrow()
      // A kick for a while does not let it in after that.
      expect(await call(relay, 'kick', { key, seconds: 1 })).toMatchObject({ refusedForSeconds: null })
      await call(relay, 'kick', { key: publicKeyText(other.publicKey), seconds: 60 })
      const samples = await relay.samples(METRICS)
      expect(Object.fromEntries(samples)).toEqual({
        'derp_admission_keys{state="denied"}': 1,
        'derp_admission_keys{state="kicked"}': 1,
        'derp_admission_total{result="denied"}': 0,
        'derp_admission_total{result="denied_by_operator"}': 1,
        'derp_sessions_ended_total{reason="denied_by_operator"}': 1,
        'derp_sessions_ended_total{reason="kicked"}': 4,
      })
    }
    await using relay = await start(place)
    await expect(relay.client({ key: member })).rejects.toThrow()
    const { denied } = await call(relay, 'denied')
    expect(denied).toEqual([
      {
        key,
        since: expect.stringMatching(/^20/) as string,
        until: null,
        remainingSeconds: null,
        reason: 'ticket 4711',
      },
      {
        key: publicKeyText(other.publicKey),
        since: expect.stringMatching(/^20/) as string,
        until: expect.stringMatching(/^20/) as string,
        remainingSeconds: expect.any(Number) as number,
        reason: '',
      },
    ])
    expect(await call(relay, 'allow', { key })).toMatchObject({ wasDenied: true, isKept: true })
    expect(await call(relay, 'allow', { key })).toMatchObject({ wasDenied: false })
    await relay.client({ key: member })
  },
)

it('refuses what is no key, no time and no reason, and changes nothing', async () => {
  using folder = new TemporaryFolder()
  const [relayKey, member] = [newKeyPair(), newKeyPair()]
  const key = publicKeyText(member.publicKey)
  await using relay = await start({ folder, members: [relayKey, member] })
  const client = await relay.client({ key: member })
  const noKey = (given: string): string => `key "${given}" is no node key; expected nodekey:<64 hex digits>`
  for (const [body, error] of [
    [{ key: 'laptop' }, noKey('laptop')],
    [{}, noKey('')],
    [{ key: key.slice(0, -1) }, noKey(key.slice(0, 12))],
    [{ key, seconds: 0 }, 'seconds is 0; expected more than 0, and at most 31536000'],
    [{ key, seconds: 31_536_001 }, 'seconds is 31536001; expected more than 0, and at most 31536000'],
    [{ key, why: 'x'.repeat(81) }, 'the reason has 81 bytes; expected at most 80'],
    [{ key, why: 'a\u{1b}[2Jb' }, 'the reason is not printable; expected one line of text'],
    [{ key, seconds: '60' }, 'seconds is not a number'],
  ] as const)
    expect(await call(relay, 'deny', body)).toEqual({ error })
  expect(await call(relay, 'allow', { key: 'laptop' })).toEqual({ error: noKey('laptop') })
  expect(await call(relay, 'denied')).toEqual({ denied: [] })
  await client.ping()
})

it('says when a restart would forget it, and denies all the same', async () => {
  using folder = new TemporaryFolder()
  const members = [newKeyPair(), newKeyPair()]
  const [, member] = members as [KeyPair, KeyPair]
  await using relay = await start({ folder, members }, '')
  const key = publicKeyText(member.publicKey)
  expect(await call(relay, 'deny', { key, seconds: 60 })).toMatchObject({
    deniedForSeconds: 60,
    isKept: false,
  })
  await expect(relay.client({ key: member })).rejects.toThrow()
})

it('an open relay denies nobody, and says why', async () => {
  await using relay = await LiveRelay.start({ admin: { host: '127.0.0.1', port: 0 }, verbsToken: TOKEN })
  expect(await call(relay, 'deny', { key: publicKeyText(newKeyPair().publicKey) })).toEqual({
    error: 'this relay is open: it asks nobody, and so can refuse nobody',
  })
})
