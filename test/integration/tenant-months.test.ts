// The bytes of a month of tenants over a real process, its threads and sockets: what was sent to whose clients, an end to data packets
// of one tenant alone, and that a restart forgets nothing.

import { expect, it } from 'vitest'
import { newKeyPair, type DerpClient } from '#client/derp-client.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { derpfleet } from '../cli/program.ts'
import { ReloadingRelay } from '../support/reloading-relay.ts'
import { disco } from '../vectors/frames.ts'

const PACKET = Buffer.alloc(1_000, 'x')

interface Told {
  readonly tenants: readonly { readonly tenant: string; readonly sentBytes: number }[]
}

async function sentTo(relay: ReloadingRelay, tenant: string): Promise<number | undefined> {
  const { stdout } = await derpfleet(['tenants', '-json'], relay.env)
  return (JSON.parse(stdout) as Told).tenants.find((one) => one.tenant === tenant)?.sentBytes
}

function heardBy(client: DerpClient): { count: number } {
  const heard = { count: 0 }
  client.on('packet', () => heard.count++)
  return heard
}

it('counts for each tenant, and one that is over sends disco messages alone until it may send more', async () => {
  const [blue, red] = [[newKeyPair(), newKeyPair()] as const, [newKeyPair(), newKeyPair()] as const]
  const list = (redMonth: string): string =>
    [
      'tenant blue month-bytes 1TB',
      `tenant red ${redMonth} month-over disco`,
      ...blue.map(({ publicKey }) => `${publicKeyText(publicKey)} tenant blue`),
      ...red.map(({ publicKey }) => `${publicKeyText(publicKey)} tenant red\n`),
    ].join('\n')
  await using relay = await ReloadingRelay.start('open-relay: true\n')
  const path = relay.folder.write('keys', list('month-bytes 20000'))
  expect((await relay.reload(`allow-keys-file: ${path}\n`)).code).toBe(0)
  const join = async (pair: typeof blue): Promise<readonly [DerpClient, DerpClient]> => [
    await relay.client({ key: pair[0] }),
    await relay.client({ key: pair[1] }),
  ]
  const [[alice, bob], [cathy, dave]] = [await join(blue), await join(red)]
  const [heardBob, heardDave] = [heardBy(bob), heardBy(dave)]
  for (let n = 0; n < 30; n++) {
    alice.send(bob.publicKey, PACKET)
    cathy.send(dave.publicKey, PACKET)
  }
  await expect.poll(() => heardDave.count).toBe(30)
  const frames = 30 * (PACKET.length + 37)
  for (const tenant of ['blue', 'red'])
    await expect.poll(async () => await sentTo(relay, tenant), { timeout: 5_000 }).toBe(frames)
  expect(relay.logged('month_bytes')).toMatchObject([
    { tenant: 'red', limit: 20_000, percent: 155, policy: 'only disco messages beyond it' },
  ])
  expect(await relay.metric('derp_tenant_months{state="over"}')).toBe(1)
  expect(await relay.metric('derp_tenant_months{state="below"}')).toBe(1)
  const text = (await derpfleet(['tenants'], relay.env)).stdout
  expect(text).toMatch(/^blue +31.1 kB +1 TB +0 % {2}alarm$/m)
  expect(text).toMatch(/^red +31.1 kB +20 kB +155 % {2}disco$/m)
  // Threads have been told.
  await alice.ping()
  cathy.send(dave.publicKey, PACKET)
  cathy.send(dave.publicKey, disco.message)
  alice.send(bob.publicKey, PACKET)
  await expect.poll(() => [heardBob.count, heardDave.count]).toEqual([31, 31])
  expect(await relay.metric('derp_dropped_packets_total{reason="over_month",kind="data"}')).toBe(1)
  relay.folder.write('keys', list('month-bytes 1TB'))
  await expect
    .poll(() => relay.logged('month_bytes_free'), { timeout: 10_000 })
    .toMatchObject([{ tenant: 'red' }])
  cathy.send(dave.publicKey, PACKET)
  await expect.poll(() => heardDave.count).toBe(32)
  await expect
    .poll(async () => await sentTo(relay, 'red'), { timeout: 5_000 })
    .toBeGreaterThan(frames + 1_037)
}, 40_000)
