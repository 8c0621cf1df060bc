import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { expect, it } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { readRoster } from '#protocol/lane-roster.ts'
import { keyPairFrom, publicKeyText } from '#protocol/node-key.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { checkedBy, LiveRelay } from '../support/live-relay.ts'
import { freePort } from '../support/process.ts'
import { UdpPeer } from '../support/udp-peer.ts'

const TOKEN = 'a-token-of-thirty-two-characters'

/** A call of the verb by its token. */
async function kick(relay: LiveRelay, body: object, verb = 'kick'): Promise<unknown> {
  const answer = await fetch(`http://127.0.0.1:${relay.addresses.admin?.port}/v1/${verb}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${TOKEN}` },
    body: JSON.stringify(body),
  })
  return await answer.json()
}

it('ends the connections of a client on all threads, and refuses it for a while', async () => {
  using folder = new TemporaryFolder()
  const [member, other] = [newKeyPair(), newKeyPair()]
  const path = folder.write(
    'keys',
    [member, other].map(({ publicKey }) => publicKeyText(publicKey)).join('\n'),
  )
  await using relay = await LiveRelay.start({
    threadCount: 2,
    admin: { host: '127.0.0.1', port: 0 },
    verbsToken: TOKEN,
    admission: checkedBy(undefined, { allowKeysPath: path }),
  })
  const ended: string[] = []
  for (let n = 0; n < 4; n++) (await relay.client({ key: member })).on('closed', () => ended.push('member'))
  ;(await relay.client({ key: other })).on('closed', () => ended.push('other'))
  const key = publicKeyText(member.publicKey)
  expect(await kick(relay, { key, seconds: 60 })).toMatchObject({ ended: 4, refusedForSeconds: 60 })
  await expect.poll(() => ended).toEqual(['member', 'member', 'member', 'member'])
  await expect(relay.client({ key: member })).rejects.toThrow()
  expect(await kick(relay, { key, seconds: 0 })).toMatchObject({ ended: 0, refusedForSeconds: 0 })
  await relay.client({ key: member })
  expect(await kick(relay, { key: 'laptop' })).toEqual({
    error: 'key "laptop" is no node key; expected nodekey:<64 hex digits>',
  })
  expect(await kick(relay, { key, seconds: -1 })).toEqual({ error: 'seconds is -1; expected 0 to 31536000' })
})

it.each([
  ['kick', { seconds: 60 }, { refusedForSeconds: 60 }, ['kick', { seconds: 0 }]],
  ['deny', {}, { deniedForSeconds: null }, ['allow', {}]],
] as const)(
  'a %s keeps a peer off the lane, also after a restart',
  async (verb, more, said, [back, backMore]) => {
    using folder = new TemporaryFolder()
    const [lane, lanePort, stateFolder] = [keyPairFrom(randomBytes(32)), await freePort(), folder.at('state')]
    mkdirSync(stateFolder, { mode: 0o700 })
    using peer = new UdpPeer({ key: lane, port: lanePort, address: '127.0.0.1' })
    const rosterPath = folder.write('roster', `${peer.peer.text} alice\n`)
    const read = readRoster(rosterPath, `${peer.peer.text} alice\n`)
    if ('problems' in read) throw new Error(read.problems.join())
    const endpoint = { host: '127.0.0.1', port: lanePort }
    const settings = {
      nodeKey: keyPairFrom(randomBytes(32)),
      stateFolder,
      admin: { host: '127.0.0.1', port: 0 },
      verbsToken: TOKEN,
      admission: checkedBy(undefined, { allowKeysPath: folder.write('keys', '') }),
      lane: { endpoint, key: lane, rosterPath, roster: read.roster },
    }
    const key = publicKeyText(peer.peer.key.publicKey)
    const isRefused = async (relay: LiveRelay): Promise<void> => {
      peer.peer.send(peer.peer.initiation())
      await expect
        .poll(async () => {
          const samples = await relay.samples(/^derp_lane_handshakes_total\{result="refused"\}/)
          return [...samples.values()][0]
        })
        .toBe(1)
    }
    {
      await using relay = await LiveRelay.start(settings)
      await peer.register()
      expect(await kick(relay, { key, ...more }, verb)).toMatchObject(said)
      await isRefused(relay)
    }
    await using relay = await LiveRelay.start(settings)
    await isRefused(relay)
    await kick(relay, { key, ...backMore }, back)
    await peer.register()
  },
)

it('an open relay ends connections, and says that it cannot refuse anybody', async () => {
  const guest = newKeyPair()
  await using relay = await LiveRelay.start({ admin: { host: '127.0.0.1', port: 0 }, verbsToken: TOKEN })
  let isEnded = false
  ;(await relay.client({ key: guest })).on('closed', () => (isEnded = true))
  const key = publicKeyText(guest.publicKey)
  const error =
    'seconds is 60; expected 0, because this relay is open: it asks nobody, and so can refuse nobody'
  expect(await kick(relay, { key, seconds: 60 })).toEqual({ error })
  expect(isEnded).toBe(false)
  expect(await kick(relay, { key, seconds: 0 })).toMatchObject({ ended: 1, refusedForSeconds: 0 })
  await expect.poll(() => isEnded).toBe(true)
})

it('a client that the list does not allow any more is ended, and a list with a mistake changes nothing', async () => {
  using folder = new TemporaryFolder()
  const [member, other] = [newKeyPair(), newKeyPair()]
  const [first, second] = [member, other].map(({ publicKey }) => publicKeyText(publicKey))
  const path = folder.write('keys', `${first}\n${second}\n`)
  await using relay = await LiveRelay.start({ admission: checkedBy(undefined, { allowKeysPath: path }) })
  const ended: string[] = []
  ;(await relay.client({ key: member })).on('closed', () => ended.push('member'))
  ;(await relay.client({ key: other })).on('closed', () => ended.push('other'))
  await expect(relay.client()).rejects.toThrow()
  folder.write('keys', `${first}\nlaptop\n`)
  await new Promise((passed) => setTimeout(passed, 4_000))
  expect(ended).toEqual([])
  folder.write('keys', `${first}\n`)
  await expect.poll(() => ended, { timeout: 6_000 }).toEqual(['other'])
  await expect(relay.client({ key: other })).rejects.toThrow()
}, 20_000)
