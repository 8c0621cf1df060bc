// derper's page of clients without derper: hostile names, pages that follow each other, wrong questions, the lines of its stream.
// Beside derper itself it is compared in clients-beside-derper.test.ts.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { AdminRequest } from '#ops/admin-page.ts'
import { derperClients } from '#ops/derper-clients.ts'
import { addressPlace, readDerperQuery } from '#ops/derper-query.ts'
import { trafficLines } from '#ops/traffic-stream.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { actor, alice, bob } from '../support/actor.ts'
import { tableOf, type Row } from '../support/client-tables.ts'

const CROWD = Array.from({ length: 7 }, (_, n): Row => ({
  who: actor(`client ${n}`),
  number: n + 1,
  atMs: 100_000,
  sinceMs: 1_000 * n,
  ip: ['192.0.2.9', '2001:db8::1', '192.0.2.10'][n % 3] ?? '',
  port: 40_000 + n,
  // Several are alike.
  receivedBytes: n % 2,
}))

const ascending = (one: number, other: number): number => one - other

async function ask(query: string, rows: readonly Row[] = CROWD): Promise<{ status: number; text: string }> {
  const request: AdminRequest = {
    path: '/debug/clients/',
    query: new URLSearchParams(query),
    accept: undefined,
    ifNoneMatch: undefined,
    host: undefined,
  }
  return await derperClients(request, async () => await Promise.resolve(tableOf(rows)))
}

async function numbers(query: string): Promise<{ numbers: number[]; next: string | undefined }> {
  const { clients, next } = JSON.parse((await ask(`${query}&format=json`)).text) as {
    clients: { connNum: number }[]
    next?: string
  }
  return { numbers: clients.map(({ connNum }) => connNum), next }
}

it.each(['conn', '-conn', 'ip', '-ip', 'connected', '-connected', 'rx', '-rx', 'key', '-key'])(
  'in the order %s, pages of one and of three meet everybody once, in the order of the whole',
  async (sort) => {
    const whole = (await numbers(`all&sort=${sort}`)).numbers
    expect(whole.toSorted(ascending)).toEqual([1, 2, 3, 4, 5, 6, 7])
    for (const limit of [1, 3]) {
      const walked: number[] = []
      for (let query: string | undefined = `all&sort=${sort}&limit=${limit}`; query !== undefined;) {
        const page = await numbers(query)
        walked.push(...page.numbers)
        query = page.next?.slice(1)
      }
      expect(walked).toEqual(whole)
    }
  },
)

it('orders addresses by their bits', async () => {
  expect((await numbers('all&sort=ip')).numbers).toEqual([1, 4, 7, 3, 6, 2, 5])
  const places = ['9.0.0.1', '10.0.0.1', '192.0.2.1', '::1', '2001:db8::2', '2001:db8::10']
  expect(places.map((ip) => addressPlace(ip, 1)).toSorted()).toEqual(places.map((ip) => addressPlace(ip, 1)))
})

it('finds clients by address and by network', async () => {
  expect((await numbers('ip=192.0.2.9')).numbers.toSorted(ascending)).toEqual([1, 4, 7])
  expect((await numbers('ip=2001:db8:0:0:0:0:0:1')).numbers.toSorted(ascending)).toEqual([2, 5])
  expect((await numbers('cidr=192.0.2.8/31')).numbers.toSorted(ascending)).toEqual([1, 4, 7])
  expect((await numbers('cidr=2001:db8::/32')).numbers.toSorted(ascending)).toEqual([2, 5])
  expect((await numbers('cidr=0.0.0.0/0')).numbers).toHaveLength(5)
})

it('begins after a given time, which may be a duration', async () => {
  expect((await numbers('all&sort=connected&after=4000000000')).numbers).toEqual([6, 7])
  expect((await numbers('all&sort=connected&after=1h')).numbers).toEqual([])
  expect((await numbers('all&sort=-connected&after=1h')).numbers).toEqual([7, 6, 5, 4, 3, 2, 1])
})

it('shows an application name that is markup as text, in the page and in its links', async () => {
  const app = `<script>alert("1")</script>&'`
  const { text } = await ask('all', [{ who: alice, atMs: 1_000, sinceMs: 0, app }])
  expect(text).not.toContain('<script>')
  expect(text).toContain('&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;</a>')
  expect(text).toContain('?app=%3Cscript%3E')
  const { text: filtered } = await ask(`app=${encodeURIComponent(app)}`, [
    { who: alice, atMs: 1_000, sinceMs: 0, app },
  ])
  expect(filtered).toContain('Showing 1 of 1 matching connections')
  expect(filtered).not.toContain('<script>')
})

it('says what is wrong with a question, and does not repeat it', async () => {
  for (const name of ['format', 'ip', 'cidr', 'key', 'sort', 'limit', 'after', 'afterconn']) {
    const { status, text } = await ask(
      `${name === 'ip' || name === 'cidr' || name === 'key' ? '' : 'all&'}${name}=<b>`,
    )
    expect([name, status]).toEqual([name, 400])
    expect(text).not.toContain('<b>')
  }
  expect((await ask('cidr=10.0.0.0/33')).status).toBe(400)
  expect((await ask('all&sort=ip&after=[::1]:99999')).status).toBe(400)
})

it('answers any question without a fault', () => {
  const names = ['all', 'ip', 'cidr', 'key', 'app', 'sort', 'limit', 'after', 'afterconn', 'format']
  const words = [
    '',
    '-',
    'ip',
    'connected',
    'conn',
    'json',
    '::1',
    '1.2.3.4:5',
    '[::]:0',
    '::/0',
    '1h2m',
    '9'.repeat(19),
  ]
  const pair = fc.tuple(fc.constantFrom(...names), fc.oneof(fc.constantFrom(...words), fc.string()))
  fc.assert(
    fc.property(fc.array(pair, { maxLength: 5 }), (pairs) => {
      const query = readDerperQuery(new URLSearchParams(pairs), 1_000)
      expect(query === undefined || typeof query === 'string' || query.limit >= 1).toBe(true)
    }),
  )
})

it('a line of traffic has what a connection has moved in all, if it has moved something since', () => {
  const rows = (bytes: number): readonly Row[] => [
    { who: alice, atMs: 0, wireSentBytes: 100, wireReceivedBytes: 50 },
    { who: bob, atMs: 0, wireSentBytes: bytes, senders: 2 },
  ]
  const lines = trafficLines(tableOf(rows(7)), tableOf(rows(6))).map((line) => JSON.parse(line) as unknown)
  expect(lines).toEqual([{ Sent: 7, Recv: 0, Key: publicKeyText(bob.key), UniqueSenders: 2 }])
  expect(trafficLines(tableOf(rows(7)), undefined)).toHaveLength(2)
  expect(trafficLines(tableOf(rows(7)), tableOf(rows(7)))).toEqual([])
})
