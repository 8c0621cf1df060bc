import { afterEach, beforeEach, expect, it } from 'vitest'
import { DnsSiblings } from '#fleet/dns-siblings.ts'
import { DnsServer } from '../support/dns-server.ts'

let server: DnsServer
let dns: DnsSiblings
const changes: string[][] = []
const problems: string[] = []

beforeEach(async () => {
  server = await DnsServer.start()
  dns = new DnsSiblings({
    names: [
      { name: 'derp.lab', port: 443 },
      { name: '_derp._tcp.lab', port: 443 },
    ],
    servers: [server.address],
    onChange: (now) => changes.push(now.map(({ name }) => name).sort()),
    onProblem: (name) => problems.push(name),
  })
})

afterEach(async () => {
  dns.stop()
  changes.length = 0
  problems.length = 0
  await server[Symbol.asyncDispose]()
})

it('lists a sibling for each address and each service record', async () => {
  server.records.set('derp.lab', ['192.0.2.1', '2001:db8::1'])
  server.records.set('_derp._tcp.lab', ['east.lab:8443'])
  await dns.refresh()
  expect(dns.siblings.toSorted((a, b) => (a.name < b.name ? -1 : 1))).toEqual([
    expect.objectContaining({ name: 'derp.lab:443 at 192.0.2.1', host: 'derp.lab', dialHost: '192.0.2.1' }),
    expect.objectContaining({
      name: 'derp.lab:443 at [2001:db8::1]',
      host: 'derp.lab',
      dialHost: '2001:db8::1',
    }),
    { name: 'east.lab:8443', host: 'east.lab', port: 8_443, isInside: true, isWatched: true, nodes: [] },
  ])
})

it('adds a sibling at the first answer and removes it after three answers without it', async () => {
  server.records.set('derp.lab', ['192.0.2.1', '192.0.2.2'])
  server.records.set('_derp._tcp.lab', [])
  await dns.refresh()
  server.records.set('derp.lab', ['192.0.2.2', '192.0.2.3'])
  const all = [1, 2, 3].map((n) => `derp.lab:443 at 192.0.2.${n}`)
  await dns.refresh()
  expect(changes).toEqual([all.slice(0, 2), all])
  await dns.refresh()
  expect(changes).toHaveLength(2)
  await dns.refresh()
  expect(changes[2]).toEqual(all.slice(1))
})

it('keeps its siblings while the name server fails, and reports the problem once', async () => {
  server.records.set('derp.lab', ['192.0.2.1'])
  server.records.set('_derp._tcp.lab', [])
  await dns.refresh()
  server.isFailing = true
  for (let times = 0; times < 5; times++) await dns.refresh()
  expect(dns.siblings).toHaveLength(1)
  expect(problems.sort()).toEqual(['_derp._tcp.lab', 'derp.lab'])
  server.isFailing = false
  await dns.refresh()
  server.records.delete('derp.lab')
  for (let times = 0; times < 5; times++) await dns.refresh()
  // A name server can deny a name by mistake.
  expect(dns.siblings).toHaveLength(1)
  expect(problems).toHaveLength(3)
})

it('resolves each name once at a time, and counts each absence once', async () => {
  server.records.set('derp.lab', ['192.0.2.1', '192.0.2.2'])
  server.records.set('_derp._tcp.lab', [])
  await dns.refresh()
  server.records.set('derp.lab', ['192.0.2.1'])
  const asked = server.queryCount
  await Promise.all([1, 2, 3, 4].map(async () => await dns.refresh()))
  expect(server.queryCount - asked).toBe(3)
  expect(dns.siblings).toHaveLength(2)
  await dns.refresh()
  expect(dns.siblings).toHaveLength(2)
  await dns.refresh()
  expect(dns.siblings).toHaveLength(1)
})

it('counts no absence when only one address family was answered', async () => {
  server.records.set('derp.lab', ['192.0.2.1', '2001:db8::1'])
  server.records.set('_derp._tcp.lab', [])
  await dns.refresh()
  server.failingTypes.add('AAAA')
  for (let times = 0; times < 5; times++) await dns.refresh()
  expect(dns.siblings).toHaveLength(2)
  server.failingTypes.clear()
  server.records.set('derp.lab', ['192.0.2.1'])
  for (let times = 0; times < 3; times++) await dns.refresh()
  expect(dns.siblings).toHaveLength(1)
})

it('keeps the known siblings of a name with hundreds of addresses in any order, and reports the problem once', async () => {
  const many = Array.from({ length: 400 }, (_, i) => `192.0.${2 + (i >> 8)}.${i & 255}`)
  server.records.set('derp.lab', many)
  server.records.set('_derp._tcp.lab', ['east.lab:443'])
  await dns.refresh()
  const known = dns.siblings
  expect(known).toHaveLength(257)
  for (let times = 0; times < 5; times++) {
    server.records.set(
      'derp.lab',
      many.toSorted(() => Math.random() - 0.5),
    )
    await dns.refresh()
  }
  expect(dns.siblings).toEqual(known)
  expect([changes.length, problems]).toEqual([1, ['derp.lab']])
})

it('ignores records that cannot be dialled', async () => {
  server.records.set('derp.lab', ['192.0.2.1'])
  server.records.set('_derp._tcp.lab', ['east.lab:0', 'ea st.lab:443', 'west.lab:443'])
  await dns.refresh()
  expect(dns.siblings.map(({ name }) => name)).toEqual(['derp.lab:443 at 192.0.2.1', 'west.lab:443'])
})

it('reports nothing after it was stopped, not even a pending answer', async () => {
  server.records.set('derp.lab', ['192.0.2.1'])
  server.records.set('_derp._tcp.lab', [])
  const asking = dns.refresh()
  dns.stop()
  await asking
  expect([dns.siblings, changes, problems]).toEqual([[], [], []])
})

it('lists relays on both ports of a name that is given twice', async () => {
  server.records.set('derp.lab', ['192.0.2.1'])
  const names = [443, 8_443].map((port) => ({ name: 'derp.lab', port }))
  const both = new DnsSiblings({
    names,
    servers: [server.address],
    onChange: () => undefined,
    onProblem: () => undefined,
  })
  await both.refresh()
  both.stop()
  expect(both.siblings.map(({ port }) => port)).toEqual([443, 8_443])
})

it('reports a change when the last of its names has been answered', async () => {
  server.isFailing = true
  await dns.refresh()
  expect([dns.areAllAnswered, changes]).toEqual([false, []])
  server.isFailing = false
  server.records.set('derp.lab', [])
  server.records.set('_derp._tcp.lab', [])
  await dns.refresh()
  // A name without an address does not count as answered.
  expect(dns.areAllAnswered).toBe(false)
  server.records.set('derp.lab', ['192.0.2.1'])
  server.records.set('_derp._tcp.lab', ['east.lab:443'])
  await dns.refresh()
  expect([dns.areAllAnswered, changes.length]).toEqual([true, 1])
})
