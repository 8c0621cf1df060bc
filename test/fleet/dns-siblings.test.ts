import { afterEach, beforeEach, expect, it } from 'vitest'
import { DnsMembers } from '#fleet/dns-siblings.ts'
import { DnsServer } from '../support/dns-server.ts'

let dns: DnsServer
let members: DnsMembers
const changes: string[][] = []
const problems: string[] = []

beforeEach(async () => {
  dns = await DnsServer.start()
  members = new DnsMembers({
    names: [
      { name: 'derp.lab', port: 443 },
      { name: '_derp._tcp.lab', port: 443 },
    ],
    servers: [dns.address],
    onChange: (now) => changes.push(now.map(({ name }) => name).sort()),
    onProblem: (name) => problems.push(name),
  })
})

afterEach(async () => {
  members.stop()
  changes.length = 0
  problems.length = 0
  await dns[Symbol.asyncDispose]()
})

it('knows a member for each address and each service record', async () => {
  dns.records.set('derp.lab', ['192.0.2.1', '2001:db8::1'])
  dns.records.set('_derp._tcp.lab', ['east.lab:8443'])
  await members.refresh()
  expect(members.members.toSorted((a, b) => (a.name < b.name ? -1 : 1))).toEqual([
    expect.objectContaining({ name: 'derp.lab:443 at 192.0.2.1', host: 'derp.lab', dialHost: '192.0.2.1' }),
    expect.objectContaining({
      name: 'derp.lab:443 at [2001:db8::1]',
      host: 'derp.lab',
      dialHost: '2001:db8::1',
    }),
    { name: 'east.lab:8443', host: 'east.lab', port: 8_443, isInside: true, isWatched: true, nodes: [] },
  ])
})

it('hears of who comes at once, and of who is gone when that has been said three times', async () => {
  dns.records.set('derp.lab', ['192.0.2.1', '192.0.2.2'])
  dns.records.set('_derp._tcp.lab', [])
  await members.refresh()
  dns.records.set('derp.lab', ['192.0.2.2', '192.0.2.3'])
  const all = [1, 2, 3].map((n) => `derp.lab:443 at 192.0.2.${n}`)
  await members.refresh()
  expect(changes).toEqual([all.slice(0, 2), all])
  await members.refresh()
  expect(changes).toHaveLength(2)
  await members.refresh()
  expect(changes[2]).toEqual(all.slice(1))
})

it('keeps whom it knows while the name server fails, and complains once', async () => {
  dns.records.set('derp.lab', ['192.0.2.1'])
  dns.records.set('_derp._tcp.lab', [])
  await members.refresh()
  dns.isFailing = true
  for (let times = 0; times < 5; times++) await members.refresh()
  expect(members.members).toHaveLength(1)
  expect(problems.sort()).toEqual(['_derp._tcp.lab', 'derp.lab'])
  dns.isFailing = false
  await members.refresh()
  dns.records.delete('derp.lab')
  for (let times = 0; times < 5; times++) await members.refresh()
  // That there is no such name any more may be the name server's fault, too.
  expect(members.members).toHaveLength(1)
  expect(problems).toHaveLength(3)
})

it('asks once at a time, however slow the answers are, and counts each absence once', async () => {
  dns.records.set('derp.lab', ['192.0.2.1', '192.0.2.2'])
  dns.records.set('_derp._tcp.lab', [])
  await members.refresh()
  dns.records.set('derp.lab', ['192.0.2.1'])
  const asked = dns.questionCount
  await Promise.all([1, 2, 3, 4].map(async () => await members.refresh()))
  expect(dns.questionCount - asked).toBe(3)
  expect(members.members).toHaveLength(2)
  await members.refresh()
  expect(members.members).toHaveLength(2)
  await members.refresh()
  expect(members.members).toHaveLength(1)
})

it('does not miss whom only one kind of address failed to tell of', async () => {
  dns.records.set('derp.lab', ['192.0.2.1', '2001:db8::1'])
  dns.records.set('_derp._tcp.lab', [])
  await members.refresh()
  dns.failingTypes.add('AAAA')
  for (let times = 0; times < 5; times++) await members.refresh()
  expect(members.members).toHaveLength(2)
  dns.failingTypes.clear()
  dns.records.set('derp.lab', ['192.0.2.1'])
  for (let times = 0; times < 3; times++) await members.refresh()
  expect(members.members).toHaveLength(1)
})

it('of a name with hundreds of addresses keeps to those that it knows, in whatever order they come, and complains once', async () => {
  const many = Array.from({ length: 400 }, (_, i) => `192.0.${2 + (i >> 8)}.${i & 255}`)
  dns.records.set('derp.lab', many)
  dns.records.set('_derp._tcp.lab', ['east.lab:443'])
  await members.refresh()
  const known = members.members
  expect(known).toHaveLength(257)
  for (let times = 0; times < 5; times++) {
    dns.records.set(
      'derp.lab',
      many.toSorted(() => Math.random() - 0.5),
    )
    await members.refresh()
  }
  expect(members.members).toEqual(known)
  expect([changes.length, problems]).toEqual([1, ['derp.lab']])
})

it('takes no record that nobody can be dialled by', async () => {
  dns.records.set('derp.lab', ['192.0.2.1'])
  dns.records.set('_derp._tcp.lab', ['east.lab:0', 'ea st.lab:443', 'west.lab:443'])
  await members.refresh()
  expect(members.members.map(({ name }) => name)).toEqual(['derp.lab:443 at 192.0.2.1', 'west.lab:443'])
})

it('is silent when it has been stopped, also about an answer that was under way', async () => {
  dns.records.set('derp.lab', ['192.0.2.1'])
  dns.records.set('_derp._tcp.lab', [])
  const asking = members.refresh()
  members.stop()
  await asking
  expect([members.members, changes, problems]).toEqual([[], [], []])
})

it('one name with two ports stands for relays on both', async () => {
  dns.records.set('derp.lab', ['192.0.2.1'])
  const names = [443, 8_443].map((port) => ({ name: 'derp.lab', port }))
  const both = new DnsMembers({
    names,
    servers: [dns.address],
    onChange: () => undefined,
    onProblem: () => undefined,
  })
  await both.refresh()
  both.stop()
  expect(both.members.map(({ port }) => port)).toEqual([443, 8_443])
})

it('knows whether all names have been answered, and says so when the last has been', async () => {
  dns.isFailing = true
  await members.refresh()
  expect([members.areAllAnswered, changes]).toEqual([false, []])
  dns.isFailing = false
  dns.records.set('derp.lab', [])
  dns.records.set('_derp._tcp.lab', [])
  await members.refresh()
  // A name without an address is none that says that there is nobody.
  expect(members.areAllAnswered).toBe(false)
  dns.records.set('derp.lab', ['192.0.2.1'])
  dns.records.set('_derp._tcp.lab', ['east.lab:443'])
  await members.refresh()
  expect([members.areAllAnswered, changes.length]).toEqual([true, 1])
})
