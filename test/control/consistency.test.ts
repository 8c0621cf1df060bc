// The check of a relay's own numbers: content with a live relay while clients come and leave, and with one whose threads agree; not
// with numbers that nobody's login explains.

import { expect, it } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { consistencyProblems, type ConsistencyParts } from '#control/consistency.ts'
import { Counter, Counters, type PlainCounter } from '#relay/counters.ts'
import { alice, bob } from '../support/actor.ts'
import { tableOf, type Row } from '../support/client-tables.ts'
import { checkedBy, LiveRelay } from '../support/live-relay.ts'

const OKAY = 'derp.Server ConsistencyCheck okay'

function problemsOf(
  rows: readonly Row[],
  counted: Partial<Record<PlainCounter, number>>,
  more: Partial<ConsistencyParts> = {},
): Promise<readonly string[]> {
  const counters = new Counters()
  for (const [name, value] of Object.entries(counted)) counters.set(Counter[name as PlainCounter], value)
  return consistencyProblems({
    counters: () => [counters],
    collect: async () => await Promise.resolve(tableOf(rows)),
    hasOtherRun: () => false,
    admission: { name: 'admission', isOff: true, check: () => ({ isOk: true, detail: '' }) },
    ...more,
  })
}

const BOTH: readonly Row[] = [alice, bob].map((who) => ({
  who,
  atMs: 0,
  is: { active: true, home: who === bob },
}))
const COUNTED = { clientsCurrent: 2, keysCurrent: 2, clientsHome: 1, loginsTotal: 5 }

it('is content when counters, sessions and keys agree', async () => {
  expect(await problemsOf(BOTH, COUNTED)).toEqual([])
})

it.each<[string, readonly Row[], Partial<Record<PlainCounter, number>>]>([
  ['connections = 3 != 2 that are here', BOTH, { ...COUNTED, clientsCurrent: 3 }],
  ['keys = 1 != 2 that are here', BOTH, { ...COUNTED, keysCurrent: 1 }],
  ['clients at home = 0 != 1 that are here', BOTH, { ...COUNTED, clientsHome: 0 }],
  ['connections of duplicate keys = 2 != 0 that are here', BOTH, { ...COUNTED, duplicateSessions: 2 }],
  [
    '1 sessions that the table of keys does not have',
    BOTH.map((row) => ({ ...row, is: { ...row.is, unlisted: row.who === bob } })),
    COUNTED,
  ],
  ['keys = 2 != 1 that are here', [{ ...BOTH[0], is: {} } as Row, BOTH[1] as Row], COUNTED],
])('says so: %s', async (problem, rows, counted) => {
  expect(await problemsOf(rows, counted)).toEqual([problem])
})

it('says that a thread does not answer, and that admission cannot be asked', async () => {
  const admission = { name: 'admission', check: () => ({ isOk: false, detail: 'the backend is away' }) }
  expect(await problemsOf(BOTH, COUNTED, { admission })).toEqual(['admission: the backend is away'])
  const collect = async (): Promise<ReturnType<typeof tableOf>> =>
    await Promise.resolve(tableOf(BOTH, { isComplete: false }))
  expect(await problemsOf([], COUNTED, { collect })).toEqual(['a relay thread does not answer'])
})

it('a live relay is content while clients come and leave, with duplicates on several threads', async () => {
  await using relay = await LiveRelay.start({ threadCount: 2, admin: { host: '127.0.0.1', port: 0 } })
  const key = newKeyPair()
  const stay = [
    await relay.client({ key }),
    await relay.client({ key, isPreferred: true }),
    await relay.client(),
  ]
  let isOver = false
  const churn = (async () => {
    while (!isOver) {
      const some = await Promise.all([relay.client({ key }), relay.client(), relay.client()])
      await Promise.all(some.map(async (client) => await client.close()))
    }
  })()
  for (let n = 0; n < 20; n++) expect(await relay.page('/debug/check')).toBe(OKAY)
  isOver = true
  await churn
  expect(await relay.page('/debug/check')).toBe(OKAY)
  expect(stay.every(({ isConnected }) => isConnected)).toBe(true)
})

it('a relay whose admission cannot ask says so', async () => {
  await using relay = await LiveRelay.start({
    admin: { host: '127.0.0.1', port: 0 },
    admission: checkedBy('http://127.0.0.1:1/verify'),
  })
  await expect(relay.client()).rejects.toThrow()
  // An outage begins after some seconds.
  await expect
    .poll(async () => await relay.page('/debug/check'), { timeout: 12_000 })
    .toContain('admission: ')
}, 20_000)
