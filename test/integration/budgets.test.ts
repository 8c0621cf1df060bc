// Budgets over real processes and sockets: from options, the list of keys, a backend's answer; shared by the connections of a key;
// changed by a reload. Whoever has a small one is read more slowly, and nothing of what it sends is lost.

import { expect, it } from 'vitest'
import { newKeyPair, type DerpClient } from '#client/derp-client.ts'
import { sendPacketFrame } from '#protocol/frames.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { ReloadingRelay } from '../support/reloading-relay.ts'
import { VerifyServer } from '../support/verify-server.ts'
import { disco } from '../vectors/frames.ts'

const PACKET = Buffer.alloc(1_000, 'x')
/** Twice what passes at once with a budget of bytes. */
const COUNT = 140

/** The packets that arrive at a client. */
function heardBy(client: DerpClient): { count: number } {
  const heard = { count: 0 }
  client.on('packet', () => heard.count++)
  return heard
}

async function isSlowed(relay: ReloadingRelay, from: DerpClient, to: DerpClient): Promise<boolean> {
  const waits = async (): Promise<number> => (await relay.metric('derp_rate_limit_waits_total')) ?? 0
  const [before, heard] = [await waits(), heardBy(to)]
  // A client that is told of its budget would drop what is beyond it.
  for (let n = 0; n < COUNT; n++) from.connection.write(sendPacketFrame(to.publicKey, PACKET))
  await expect.poll(() => heard.count, { timeout: 10_000 }).toBe(COUNT)
  return (await waits()) > before
}

it('the list counts before the backend, and the backend before the option; a reload changes the option', async () => {
  await using backend = await VerifyServer.start()
  const listed = newKeyPair()
  const slow = 'key-budget: bytes-per-second 200000\n'
  const url = `verify-client-url: ${backend.url}\n`
  await using relay = await ReloadingRelay.start(`${url}${slow}`)
  const list = relay.folder.write('keys', `${publicKeyText(listed.publicKey)} bytes-per-second unlimited\n`)
  const all = `${url}allow-keys-file: ${list}\nannounce-budget: true\n`
  expect((await relay.reload(`${all}${slow}`)).code).toBe(0)
  const bob = await relay.client({ key: listed })

  const told: number[] = []
  const join = async (): Promise<DerpClient> =>
    await relay.client({}, { serverInfo: (info) => told.push(info.tokenBucketBytesPerSecond) })
  const usual = await join()
  expect(await isSlowed(relay, usual, bob)).toBe(true)
  expect(await isSlowed(relay, bob, usual)).toBe(false)
  backend.answer = '{"Allow":true,"BytesPerSecond":50000000}'
  expect(await isSlowed(relay, await join(), bob)).toBe(false)
  expect(told).toEqual([200_000, 50_000_000])

  expect((await relay.reload(all)).code).toBe(0)
  expect(await isSlowed(relay, usual, bob)).toBe(false)
  expect(await relay.metric('derp_budget_bytes_per_second{of="key"}')).toBeUndefined()
  // A key that is connected shares what the list says from now on.
  relay.folder.write('keys', `${publicKeyText(listed.publicKey)} packets-per-second 70\n`)
  await expect.poll(async () => await isSlowed(relay, bob, usual), { timeout: 20_000 }).toBe(true)
}, 40_000)

it('when the bytes of the month are used up, data packets are dropped and disco passes; a reload ends it', async () => {
  const over = 'month-bytes: 20000\nmonth-over: disco\n'
  await using relay = await ReloadingRelay.start(over)
  const [alice, bob] = [await relay.client(), await relay.client()]
  const heard = heardBy(bob)
  for (let n = 0; n < 30; n++) alice.send(bob.publicKey, PACKET)
  await expect.poll(() => heard.count).toBe(30)
  // A look at the metrics counts, and so does a look at any other time.
  await relay.page('/metrics')
  await alice.ping()
  const data = 'derp_dropped_packets_total{reason="over_month",kind="data"}'
  await expect
    .poll(async () => {
      alice.send(bob.publicKey, PACKET)
      return await relay.metric(data)
    })
    .toBeGreaterThan(0)
  heard.count = 0
  alice.send(bob.publicKey, disco.message)
  await expect.poll(() => heard.count).toBe(1)
  expect(relay.logged('month_bytes').at(-1)).toMatchObject({
    limit: 20_000,
    policy: 'only disco messages beyond it',
  })
  expect(await relay.metric('derp_month_sent_bytes')).toBeGreaterThan(30_000)
  expect((await relay.reload('month-bytes: 1TB\nmonth-over: disco\n')).code).toBe(0)
  alice.send(bob.publicKey, PACKET)
  await expect.poll(() => heard.count).toBe(2)
}, 20_000)
