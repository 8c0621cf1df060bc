// Tenants over real processes and sockets: with isolation not one packet passes between them, each is counted with its reason, and
// without it everything passes. One relay with one thread and with several, and two relays in a mesh, in both directions.

import { expect, it } from 'vitest'
import { DerpClient } from '#client/derp-client.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { RegionPair } from '../support/region-pair.ts'
import { ReloadingRelay } from '../support/reloading-relay.ts'
import { acrossSum, TenantCrowd, within } from '../support/tenant-crowd.ts'

const PACKETS = 40
const TENANT_DROPS = /^derp_dropped_packets_total\{.*reason="tenant"/

function dropsIn(page: string): number {
  const lines = page.split('\n').filter((line) => TENANT_DROPS.test(line))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

it.each([1, 3])(
  'one relay with %i thread(s): on, off and on again while clients are connected',
  async (threads) => {
    const crowd = new TenantCrowd(['blue', 'red'], 4)
    using folder = new TemporaryFolder()
    const list = `allow-keys-file: ${folder.write('keys', crowd.list)}\n`
    const [on, off] = [`${list}isolate-tenants: true\n`, list]
    await using relay = await ReloadingRelay.start(on, '-threads', `${threads}`)
    await crowd.join(async (key) => await relay.client({ key }))
    const drops = async (): Promise<number> => dropsIn(await relay.page('/metrics'))

    const sent = await crowd.sendAll(PACKETS)
    await expect.poll(() => crowd.heard).toEqual(within(sent))
    expect(await drops()).toBe(acrossSum(sent))
    expect([...crowd.notHere.keys()].toSorted()).toEqual(['blue', 'none', 'red'])

    crowd.heard.clear()
    expect((await relay.reload(off)).code).toBe(0)
    const sentOff = await crowd.sendAll(PACKETS)
    await expect.poll(() => crowd.heard).toEqual(sentOff)
    expect(await drops()).toBe(acrossSum(sent))

    crowd.heard.clear()
    expect((await relay.reload(on)).code).toBe(0)
    await crowd.sendAll(PACKETS)
    await expect.poll(() => crowd.heard).toEqual(within(sent))
    expect(await drops()).toBe(2 * acrossSum(sent))
    // The threads do share the work.
    const betweenThreads = await relay.metric('derp_thread_forwarded_packets_total{direction="in"}')
    expect((betweenThreads ?? 0) > 0).toBe(threads > 1)
  },
  30_000,
)

it('a change of the list moves a client that is connected to another tenant', async () => {
  const crowd = new TenantCrowd(['blue', 'red'], 2)
  const [mover, stays] = crowd.of('blue')
  const [other] = crowd.of('red')
  using folder = new TemporaryFolder()
  const path = folder.write('keys', crowd.list)
  await using relay = await ReloadingRelay.start(`allow-keys-file: ${path}\nisolate-tenants: true\n`)
  await crowd.join(async (key) => await relay.client({ key }))
  const hears = async (from = stays, to = mover): Promise<boolean> => {
    if (from?.client === undefined || to?.client === undefined) return false
    const isHeard = to.client.next('packet').then(() => true)
    from.client.send(to.key.publicKey, Buffer.from('hello'))
    await from.client.ping()
    return await Promise.race([isHeard, new Promise<false>((late) => setTimeout(late, 300, false))])
  }
  expect([await hears(stays), await hears(other)]).toEqual([true, false])
  const gone = mover?.client?.next('peerGone')
  folder.write(
    'keys',
    crowd.listWith((one) => (one === mover ? 'red' : undefined)),
  )
  // The packet of the tenant that it has left is answered for: its sender is gone.
  expect((await gone)?.key).toEqual(stays?.key.publicKey)
  expect([await hears(stays), await hears(other)]).toEqual([false, true])
  expect(relay.process.output).not.toContain('admission_ended')
}, 20_000)

it.each([
  ['both relays keep tenants apart', [true, true]],
  ['one of them does', [true, false]],
])(
  'two relays, %s: nothing passes between tenants in either direction',
  async (_which, isolating) => {
    const crowd = new TenantCrowd(['blue', 'red'], 4)
    using folder = new TemporaryFolder()
    const path = folder.write('keys', crowd.list)
    await using pair = await RegionPair.start({
      args: (which) => ['-allow-keys-file', path, `-isolate-tenants=${isolating[which]}`],
    })
    const clients: DerpClient[] = []
    await crowd.join(async (key, n) => {
      const target = pair.targets[n % 2]
      if (target === undefined) throw new Error('two relays were expected')
      const client = await DerpClient.connect({ ...target, key })
      clients.push(client)
      return client
    })
    // Presence has reached the other relay when packets do.
    await expect
      .poll(async () => {
        crowd.heard.clear()
        const sent = within(await crowd.sendAll(1))
        await new Promise((settled) => setTimeout(settled, 200))
        return within(crowd.heard).size === sent.size && sumOf(within(crowd.heard)) === sumOf(sent)
      })
      .toBe(true)
    const drops = async (): Promise<number> => {
      const counts = await Promise.all(([0, 1] as const).map(async (which) => await pair.metrics(which)))
      const drops = counts.map((series) => new Map([...series].filter(([name]) => TENANT_DROPS.test(name))))
      return drops.reduce((sum, ofOne) => sum + sumOf(ofOne), 0)
    }
    const before = await drops()
    crowd.heard.clear()
    const sent = await crowd.sendAll(PACKETS)
    // The clients of the relay that does not keep tenants apart reach each other.
    const isBoth = isolating.every(Boolean)
    const expected = isBoth ? within(sent) : expectedWithOne(crowd, PACKETS + 1)
    await expect.poll(() => crowd.heard).toEqual(expected)
    await expect.poll(drops).toBe(before + sumOf(sent) - sumOf(expected))
    await Promise.all(clients.map(async (client) => await client.close()))
  },
  60_000,
)

function sumOf(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0)
}

/** The second relay, with every other client, does not keep tenants apart. */
function expectedWithOne({ members }: TenantCrowd, packets: number): ReadonlyMap<string, number> {
  const expected = new Map<string, number>()
  for (const [m, from] of members.entries()) {
    for (const [n, to] of members.entries()) {
      if (m === n) continue
      const isBoth = m % 2 === 1 && n % 2 === 1
      const pair = `${from.tenant} ${to.tenant}`
      if (from.tenant === to.tenant || isBoth) expected.set(pair, (expected.get(pair) ?? 0) + packets)
    }
  }
  return expected
}
