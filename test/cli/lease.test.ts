import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readLease, type LeaseEntry } from '#protocol/lease.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import type { RunResult } from '../support/process.ts'
import { derpfleet, derpfleetProcess } from './program.ts'

const KEYS = ['aa', 'bb', 'cc', 'dd'].map((byte) => `nodekey:${byte.repeat(32)}`)
const [ALICE = '', BOB = '', CATHY = '', DAN = ''] = KEYS
const LATER = '2126-01-01T00:00:00Z'

let folder: TemporaryFolder
let publicKey: string
beforeEach(async () => {
  folder = new TemporaryFolder()
  publicKey = (await derpfleet(['lease', 'keygen', '-o', folder.at('lease.key')])).stdout.trim()
})
afterEach(() => folder[Symbol.dispose]())

const make = async (...args: readonly string[]): Promise<RunResult> =>
  await derpfleet(['lease', 'make', '-key', folder.at('lease.key'), ...args])

/** What the file says of each key. */
function entries(path = folder.at('members.lease')): Readonly<Record<string, Partial<LeaseEntry>>> {
  const read = readLease(readFileSync(path, 'utf8'), [publicKey])
  if ('problem' in read) throw new Error(read.problem)
  return Object.fromEntries(
    [...read.lease.entries.values()].map(({ key, ...more }) => [publicKeyText(key), more]),
  )
}

function nodes(...list: readonly object[]): string {
  return folder.write('nodes.json', JSON.stringify(list))
}

const OUT = (): readonly string[] => ['-o', folder.at('members.lease')]

it('creates a key that only its owner can read, and prints its public key again', async () => {
  expect(publicKey).toMatch(/^MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=$/)
  expect(statSync(folder.at('lease.key')).mode & 0o777).toBe(0o600)
  expect(await derpfleet(['lease', 'keygen', '-public', folder.at('lease.key')])).toEqual({
    code: 0,
    stdout: `${publicKey}\n`,
    stderr: '',
  })
  const again = await derpfleet(['lease', 'keygen', '-o', folder.at('lease.key')])
  expect([again.code, again.stdout]).toEqual([1, ''])
})

it('makes a lease of a list of keys, which anybody with the public key can check', async () => {
  const list = folder.write('keys', `${ALICE}\nallow ${BOB} tenant blue # a comment\ndeny ${CATHY}\n`)
  const made = await make('-keys-file', list, '-for', '24h', ...OUT())
  expect([made.code, made.stdout]).toEqual([0, ''])
  expect(made.stderr).toMatch(/^lease \d+: 3 keys, until /)
  expect(entries()).toMatchObject({
    [ALICE]: { isAllowed: true, tenant: undefined },
    [BOB]: { isAllowed: true, tenant: 'blue' },
    [CATHY]: { isAllowed: false },
  })
  const checked = await derpfleet(['lease', 'check', folder.at('members.lease'), '-key', publicKey])
  expect(checked).toMatchObject({ code: 0, stderr: '' })
  expect(checked.stdout).toMatch(/is valid: serial \d+, 2 keys allowed, 1 denied, 0 ended, until /)
})

it.each([
  ['is cut', (text: string) => text.slice(0, -50), /no signature at its end/],
  ['says more than was signed', (text: string) => text.replace('aa', 'ab'), /was changed since/],
])('check refuses a lease that %s', async (_case, change, problem) => {
  await make('-keys-file', folder.write('keys', ALICE), ...OUT())
  const path = folder.write('bad.lease', change(readFileSync(folder.at('members.lease'), 'utf8')))
  const checked = await derpfleet(['lease', 'check', path, '-key', publicKey])
  expect([checked.code, checked.stdout]).toEqual([1, ''])
  expect(checked.stderr).toMatch(problem)
})

it('gives each lease a larger serial than the last one in the file', async () => {
  const list = folder.write('keys', ALICE)
  const serials: number[] = []
  for (const more of [[], [], ['-serial', '9000000000'], []]) {
    expect((await make('-keys-file', list, ...OUT(), ...more)).code).toBe(0)
    const read = readLease(readFileSync(folder.at('members.lease'), 'utf8'), [publicKey])
    serials.push('lease' in read ? read.lease.serial : -1)
  }
  expect(serials).toEqual(serials.toSorted((a, b) => a - b))
  expect(serials.slice(2)).toEqual([9_000_000_000, 9_000_000_001])
  expect(new Set(serials).size).toBe(4)
  const older = await make('-keys-file', list, ...OUT(), '-serial', '9000000001')
  expect([older.code, older.stderr]).toEqual([1, expect.stringContaining('expected more than 9000000001')])
})

describe('of nodes that Headscale has printed', () => {
  const node = (key: string, more: object = {}): object => ({
    node_key: key,
    given_name: 'a b',
    user: { name: 'U' },
    ...more,
  })

  it('leaves out those that have ended, and others end when they do', async () => {
    const soonS = Math.floor(Date.now() / 1_000) + 600
    const path = nodes(
      node(ALICE),
      node(BOB, { expiry: { seconds: soonS } }),
      node(CATHY, { expiry: { seconds: 1_600_000_000 } }),
      node(DAN, { expiry: { seconds: -62_135_596_800 } }),
      node(`nodekey:${'0'.repeat(64)}`),
    )
    const made = await make('-headscale-nodes', path, ...OUT())
    expect([made.code, made.stderr]).toEqual([
      0,
      expect.stringContaining('3 keys, 1 left out because they have ended'),
    ])
    expect(Object.keys(entries()).toSorted()).toEqual([ALICE, BOB, DAN])
    expect(entries()[BOB]?.untilMs).toBe(1_000 * soonS)
    expect(entries()[ALICE]?.name).toBe('a-b')
  })

  it('takes what a list says of a key before what Headscale says', async () => {
    const list = folder.write('keys', `deny ${ALICE}\nallow ${CATHY}\n`)
    await make('-headscale-nodes', nodes(node(ALICE), node(BOB)), '-keys-file', list, ...OUT())
    const allowed = Object.entries(entries()).map(([key, { isAllowed }]) => [key, isAllowed])
    expect(Object.fromEntries(allowed)).toEqual({ [ALICE]: false, [BOB]: true, [CATHY]: true })
  })

  it('makes users or tags tenants', async () => {
    const path = nodes(node(ALICE, { user: { name: 'blue.team' }, tags: ['tag:red'] }), node(BOB))
    await make('-headscale-nodes', path, '-tenant-by', 'user', ...OUT())
    expect([entries()[ALICE]?.tenant, entries()[BOB]?.tenant]).toEqual(['blue-team', 'u'])
    await make('-headscale-nodes', path, '-tenant-by', 'tag', ...OUT())
    expect([entries()[ALICE]?.tenant, entries()[BOB]?.tenant]).toEqual(['red', undefined])
  })

  it.each([
    [
      'users that would be one tenant',
      ['user'],
      [{ user: { name: 'a.b' } }, { user: { name: 'a-b' } }],
      /beside "a.b"/,
    ],
    ['a user that has no letter', ['user'], [{ user: { name: '日本' } }], /is no name of a tenant/],
    ['a node of several tags', ['tag'], [{ tags: ['tag:a', 'tag:b'] }], /has the tags a, b; expected one/],
  ])('refuses %s', async (_case, [by = ''], list, problem) => {
    const path = nodes(...list.map((more, at) => node(KEYS[at] ?? '', more)))
    const made = await make('-headscale-nodes', path, '-tenant-by', by, ...OUT())
    expect([made.code, made.stderr]).toEqual([1, expect.stringMatching(problem)])
  })

  it.each([
    ['no node', '[]', /no key would be allowed/],
    ['no node, as Headscale says it', '{}', /no key would be allowed/],
    ['half of the text', '[{"node_key":', /is not JSON/],
    ['an error', '{"Error":"no access"}', /has no nodes/],
    ['a node without a key', '[{"id":1}]', /node 1 of the list has no node key/],
    ['an expiry that is no time', `[{"node_key":"${ALICE}","expiry":"soon"}]`, /expiry that is no time/],
  ])('keeps the lease that there is when it gets %s', async (_case, text, problem) => {
    await make('-keys-file', folder.write('keys', ALICE), ...OUT())
    const before = readFileSync(folder.at('members.lease'), 'utf8')
    writeFileSync(folder.at('nodes.json'), text)
    const made = await make('-headscale-nodes', folder.at('nodes.json'), ...OUT())
    expect([made.code, made.stderr]).toEqual([1, expect.stringMatching(problem)])
    expect(readFileSync(folder.at('members.lease'), 'utf8')).toBe(before)
  })

  it('reads standard input, and writes to standard output', async () => {
    const args = ['lease', 'make', '-key', folder.at('lease.key'), '-headscale-nodes', '-']
    const made = await derpfleetProcess(args, { input: JSON.stringify([node(ALICE)]) })
    expect(made.code).toBe(0)
    expect(readLease(made.stdout, [publicKey])).toHaveProperty('lease')
  })
})

describe('by the API of Headscale', () => {
  it('sends the API key to no other address, and says what is wrong', async () => {
    const asked: (string | undefined)[] = []
    const server = createServer((request, response) => {
      asked.push(`${request.url} ${request.headers.authorization}`)
      if (request.url === '/moved/api/v1/node') response.writeHead(307, { location: '/api/v1/node' }).end()
      else if (request.headers.authorization === 'Bearer good')
        response.end(JSON.stringify({ nodes: [{ nodeKey: ALICE, givenName: 'a', expiry: LATER }] }))
      else response.writeHead(401).end('Unauthorized')
    })
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    try {
      const good = folder.write('good', 'good\n')
      const by = async (key: string, at = url): Promise<RunResult> =>
        await make('-headscale-url', at, '-headscale-key-file', key, ...OUT())
      expect((await by(good, `${url}/`)).code).toBe(0)
      expect(Object.keys(entries())).toEqual([ALICE])
      expect((await by(folder.write('bad', 'bad'))).stderr).toMatch(/answers 401; is the API key right/)
      expect((await by(good, `${url}/moved`)).stderr).toMatch(/answers 307/)
      expect(asked).toEqual([
        '/api/v1/node Bearer good',
        '/api/v1/node Bearer bad',
        '/moved/api/v1/node Bearer good',
      ])
      server.close()
      server.closeAllConnections()
      expect((await by(good)).stderr).toMatch(/no lease made: .*(ECONNREFUSED|refused)/)
    } finally {
      server.close()
    }
  })
})

it.each([
  [['make'], /-key: is not set/],
  [['make', '-key', '/none', '-keys-file', '/none'], /-key: \/none does not exist/],
  [['keygen', '-o', ''], /is empty/],
  [['check', 'x'], /-key: is not set/],
  [['check', '-key', 'abc'], /no file is named/],
  [['make', '-for', '1s'], /-for: invalid value/],
  [['sell'], /usage: derpfleet lease/],
  [[], /usage: derpfleet lease/],
])('reports %j as invalid', async (args, problem) => {
  const { code, stdout, stderr } = await derpfleet(['lease', ...args])
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toMatch(problem)
})

it('has a usage page for all of it', async () => {
  for (const args of [['-help'], ['make', '-help'], ['keygen', '-h'], ['check', '-help']])
    expect(await derpfleet(['lease', ...args])).toMatchObject({ code: 0, stderr: '' })
})
