import { afterEach, beforeEach, expect, it } from 'vitest'
import { DnsMembers } from '#fleet/dns-members.ts'
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
  await members.start()
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
  await members.start()
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
  await members.start()
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
