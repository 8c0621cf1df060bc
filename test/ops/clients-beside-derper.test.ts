// derper's pages about clients, of derper and of this relay with the same clients and packets: the same fields with the same values,
// and the same answers to the same questions.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { makeCertificate } from '../support/certificate.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { runOk, startProcess, startRelay, waitUntil, type Relay } from '../support/process.ts'
import { LiveRelay } from '../support/live-relay.ts'

const found = await foreignPrograms('derper-1.104.5')
const derper = 'paths' in found ? found.paths['derper-1.104.5'] : undefined

interface Answer {
  readonly status: number
  readonly text: string
}

interface Listed {
  readonly query: string
  readonly conns: number
  readonly keys: number
  readonly remaining: number
  readonly next?: string
  readonly clients: readonly Readonly<Record<string, unknown>>[]
}

/** One of the two relays. */
interface Side {
  readonly name: string
  readonly port: number
  /** curl's arguments for a page. */
  readonly curl: (path: string) => readonly string[]
}

interface Actors {
  readonly alice: DerpClient
  readonly all: readonly DerpClient[]
}

const KEYS: readonly KeyPair[] = Array.from({ length: 5 }, newKeyPair)
const [ALICE, BOB, CATHY, TWIN, PROBER] = KEYS as [KeyPair, KeyPair, KeyPair, KeyPair, KeyPair]

/** The same clients for both, one after another, so that they have the same numbers. */
async function beClients({ port }: Side): Promise<Actors> {
  const tls = { isInsecure: true } as const
  const at = { host: '127.0.0.1', port, tls: { ...tls, servername: 'localhost' } }
  const clients: DerpClient[] = []
  const join = async (more: Partial<Parameters<typeof DerpClient.connect>[0]>): Promise<DerpClient> => {
    const client = await DerpClient.connect({ ...at, key: ALICE, ...more })
    clients.push(client)
    return client
  }
  const alice = await join({ key: ALICE, isPreferred: true, appName: 'tailcat' })
  const bob = await join({ key: BOB, way: 'websocket' })
  const cathy = await join({ key: CATHY, idealNode: '900b', appName: 'tailcat' })
  await join({ key: TWIN })
  await join({ key: TWIN })
  await join({ key: PROBER, isProber: true, way: 'upgrade' })
  const received = waitFor(bob, 12)
  for (let n = 0; n < 10; n++) alice.send(BOB.publicKey, Buffer.alloc(1_000))
  for (let n = 0; n < 2; n++) cathy.send(BOB.publicKey, Buffer.alloc(300))
  await received
  alice.send(newKeyPair().publicKey, Buffer.alloc(77))
  await alice.ping()
  return { alice, all: clients }
}

async function waitFor(client: DerpClient, packets: number): Promise<void> {
  let count = 0
  await new Promise<void>((resolve) => client.on('packet', () => void (++count === packets && resolve())))
}

describe.skipIf(derper === undefined)('pages about clients', () => {
  let folder: string
  let theirs: Relay
  let ours: LiveRelay
  let sides: readonly [Side, Side]
  let actors: readonly Actors[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'clients-'))
    await makeCertificate(folder, 'localhost')
    // By default derper does not count senders.
    const env = { TS_DERP_SENDER_CARDINALITY: '1' }
    theirs = await startRelay({ command: derper ?? '', env, folder })
    ours = await LiveRelay.start({ admin: { host: '127.0.0.1', port: 0 } })
    const to = ['--resolve', `localhost:${theirs.port}:127.0.0.1`]
    const admin = `http://127.0.0.1:${ours.addresses.admin?.port}`
    sides = [
      {
        name: 'derper',
        port: theirs.port,
        curl: (path) => ['-skN', ...to, `https://localhost:${theirs.port}${path}`],
      },
      { name: 'derpfleet', port: ours.port, curl: (path) => ['-sN', `${admin}${path}`] },
    ]
    actors = await Promise.all(sides.map(beClients))
  })

  afterAll(async () => {
    await Promise.all(actors.flatMap(({ all }) => all).map(async (client) => await client.close()))
    await theirs?.[Symbol.asyncDispose]()
    await ours?.[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  async function listed(side: Side, query: string): Promise<Listed> {
    const { status, text } = await page(side, `/debug/clients/?${query}&format=json`)
    expect([side.name, status]).toEqual([side.name, 200])
    return JSON.parse(text) as Listed
  }

  /** Without what differs from relay to relay: numbers, ports, times. */
  function alike({ next, clients: rows, ...rest }: Listed): unknown {
    const without = rows.map(({ connNum, remote, connectedAt, connected, ...row }) => {
      expect(typeof connNum).toBe('number')
      expect(remote).toMatch(/^127\.0\.0\.1:\d+$/)
      expect(Math.abs(Date.now() - Date.parse(String(connectedAt)))).toBeLessThan(120_000)
      expect(Number(connected) % 1e9).toBe(0)
      return row
    })
    return { ...rest, hasNext: next !== undefined, clients: without }
  }

  it.each([
    'all',
    'all&sort=-key',
    'all&limit=2',
    'ip=127.0.0.1',
    'ip=192.0.2.1',
    'cidr=127.0.0.0/8',
    'cidr=2001:db8::/32',
    `key=${publicKeyText(TWIN.publicKey)}`,
    `key=nodekey:${'0'.repeat(63)}1`,
    'app=tailcat',
    'app=',
    'app=tailcat&app=other&limit=1',
    'all&app=tailcat&sort=-rx',
  ])('tell the same of ?%s', async (query) => {
    const [derperList, ourList] = await Promise.all(sides.map(async (side) => await listed(side, query)))
    expect(alike(ourList as Listed)).toEqual(alike(derperList as Listed))
  })

  it('have what each has carried, and the same names of fields', async () => {
    const [derperList, ourList] = (await Promise.all(
      sides.map(async (side) => await listed(side, `key=${publicKeyText(BOB.publicKey)}`)),
    )) as [Listed, Listed]
    expect(Object.keys(ourList.clients[0] ?? {})).toEqual(Object.keys(derperList.clients[0] ?? {}))
    expect(ourList.clients[0]).toMatchObject({ txPkts: 12, txBytes: 10_600, rxPkts: 0, senders: 2 })
  })

  it.each([
    'key',
    'ip',
    'conn',
    'connected',
    'rx',
    'tx',
    'rxpkts',
    'txpkts',
    '-key',
    '-ip',
    '-conn',
    '-connected',
    '-tx',
  ])('are walked page by page in the order %s, and meet everybody once', async (sort) => {
    for (const side of sides) {
      const whole = await listed(side, `all&sort=${sort}`)
      const walked: unknown[] = []
      let query: string | undefined = `all&sort=${sort}&limit=2`
      for (let pages = 0; query !== undefined && pages < 9; pages++) {
        const page: Listed = await listed(side, query)
        walked.push(...page.clients.map(({ connNum }) => connNum))
        query = page.next?.replace(/^\?/, '').replace('&format=json', '').replace('format=json&', '')
      }
      expect([side.name, walked]).toEqual([side.name, whole.clients.map(({ connNum }) => connNum)])
      expect(walked).toHaveLength(6)
    }
  })

  it.each([
    'all&format=xml',
    'ip=bogus',
    'cidr=10.0.0.0',
    'key=8cde7aa8',
    'all&sort=age',
    'all&limit=0',
    'all&sort=conn&after=nodekey:00',
    'all&sort=rx&after=-1',
    'all&sort=ip&after=nowhere',
    'all&sort=key&after=1',
    'all=1&ip=10.1.2.3',
  ])('refuse ?%s', async (query) => {
    const answers = await Promise.all(sides.map(async (side) => await page(side, `/debug/clients/?${query}`)))
    expect(answers.map(({ status }) => status)).toEqual([400, 400])
  })

  it.each(['all&sort=connected&after=30m', 'all&sort=-connected&after=1h2m', 'all&sort=ip&after=127.0.0.1'])(
    'begin at the same place for ?%s',
    async (query) => {
      const lists = await Promise.all(sides.map(async (side) => (await listed(side, query)).clients.length))
      expect(lists[1]).toBe(lists[0])
    },
  )

  it('have an index with the sums, as HTML and as JSON', async () => {
    const pages = await Promise.all(sides.map(async (side) => await page(side, '/debug/clients/')))
    for (const { text } of pages) {
      expect(text).toContain('6 connections for 5 node keys')
      for (const name of ['all', 'ip', 'cidr', 'key', 'app']) expect(text).toContain(`name="${name}"`)
    }
    const sums = await Promise.all(
      sides.map(
        async (side) => JSON.parse((await page(side, '/debug/clients/?format=json')).text) as unknown,
      ),
    )
    expect(sums[1]).toEqual(sums[0])
  })

  it('show the same columns to browsers', async () => {
    const texts = await Promise.all(
      sides.map(async (side) => (await page(side, '/debug/clients/?all&sort=-tx')).text),
    )
    const heads = texts.map((text) =>
      [...text.matchAll(/<th>(?:<a [^>]*>)?([^<]+)/g)].map(([, title]) => title),
    )
    expect(heads[1]).toEqual(heads[0])
    const flags = texts.map((text) =>
      [...text.matchAll(/<td>([a-z- ]*)<\/td>\s*<td>2<\/td>/g)].map(([, f]) => f?.trim()),
    )
    expect(flags[1]?.toSorted()).toEqual(flags[0]?.toSorted())
    expect(flags[1]).toContain('dup-active')
  })

  it('stream the traffic of busy connections: the same fields for the same keys', async () => {
    const rounds = await Promise.all(
      sides.map(async (side, at) => await trafficOf(side, actors[at] as Actors)),
    )
    const [alice, bob] = [ALICE, BOB].map(({ publicKey }) => publicKeyText(publicKey))
    for (const lines of rounds)
      expect(lines.map(({ Key }) => Key)).toEqual(expect.arrayContaining([alice, bob]))
    const [derperLine, ourLine] = rounds.map((lines) => lines.findLast(({ Key }) => Key === bob))
    expect(Object.keys(ourLine ?? {})).toEqual(Object.keys(derperLine ?? {}))
    expect(ourLine?.['UniqueSenders']).toBe(derperLine?.['UniqueSenders'])
    expect(Number(ourLine?.['Sent'])).toBeGreaterThan(30_000)
    expect(Number(derperLine?.['Sent']) / Number(ourLine?.['Sent'])).toBeCloseTo(1, 0)
  }, 30_000)

  it('check themselves; ours is content although a key is there twice', async () => {
    const [derperAnswer, ourAnswer] = await Promise.all(
      sides.map(async (side) => await page(side, '/debug/check')),
    )
    expect(derperAnswer).toMatchObject({ status: 500, text: expect.stringContaining('connections = 6') })
    expect(ourAnswer).toEqual({ status: 200, text: 'derp.Server ConsistencyCheck okay' })
  })
})

async function page(side: Side, path: string): Promise<Answer> {
  const output = await runOk('curl', ['-w', '\n%{http_code}', ...side.curl(path)])
  const at = output.lastIndexOf('\n')
  return { status: Number(output.slice(at + 1)), text: output.slice(0, at) }
}

/** The lines of the rounds after the first one, while alice sends to bob. */
async function trafficOf(
  side: Side,
  { alice }: Actors,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  await using stream = await startProcess('curl', side.curl('/debug/traffic'), {})
  const roundsOf = (): readonly string[] => stream.output.split(/^\n/m).slice(0, -1)
  // The first round is of what was before. On a busy machine not every round has both.
  const laterRounds = (): string => roundsOf().slice(1).join('')
  const keys = [ALICE, BOB].map(({ publicKey }) => publicKeyText(publicKey))
  const sending = setInterval(() => void alice.send(BOB.publicKey, Buffer.alloc(1_000)), 50)
  try {
    const isComplete = (): boolean =>
      roundsOf().length >= 3 && keys.every((key) => laterRounds().includes(key))
    await waitUntil('there are three rounds, with both', isComplete, 20_000).catch(() =>
      expect.fail(`${side.name}: ${stream.output}`),
    )
  } finally {
    clearInterval(sending)
  }
  const lines = laterRounds().split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>)
}
