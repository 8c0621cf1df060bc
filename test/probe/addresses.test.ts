// Which addresses of a relay are probed, and what a failure to reach one means. Addresses that DNS or the machine would
// have to provide are made up; the listeners are real.

import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { checkTcp, findAddresses, lacksPublicSource, type AddressResult } from '#probe/addresses.ts'
import { CheckList } from '#probe/check.ts'
import { nodeOfMap, type ProbedNode } from '#probe/probed-node.ts'
import type { ProbeSettings } from '#probe/settings.ts'
import { readDerpMap } from '#fleet/derp-map-reader.ts'
import { makeCertificate } from '../support/certificate.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { freePort, startProcess, startRelay, type Relay } from '../support/process.ts'
import { ALL_CHECKS, Listener, OWN_RELAY, probed } from './probe-program.ts'

const servers: Server[] = []

afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

const SETTINGS: ProbeSettings = {
  timeoutMs: 2_000,
  families: [4, 6],
  stunPort: undefined,
  httpPort: undefined,
  meshKey: undefined,
  authorities: [],
  isInsecure: false,
  pin: undefined,
  keys: [],
  usesWebSocket: true,
}

function node(fields: object): ProbedNode {
  const map = readDerpMap(
    JSON.stringify({ Regions: { 900: { Nodes: [{ Name: '900a', HostName: 'localhost', ...fields }] } } }),
  )
  const region = 'regions' in map ? map.regions[0] : undefined
  const one = region?.nodes[0]
  if (region === undefined || one === undefined) throw new Error('not a node')
  return nodeOfMap(region, one, SETTINGS)
}

async function listen(host: string): Promise<number> {
  const server = createServer((socket) => socket.destroy()).listen(0, host)
  servers.push(server)
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

function loopback(isGiven: boolean): readonly AddressResult[] {
  return [
    { family: 4, address: '127.0.0.1', isGiven, source: '127.0.0.1' },
    { family: 6, address: '::1', isGiven, source: '::1' },
  ]
}

async function statuses(addresses: readonly AddressResult[], port: number): Promise<readonly string[]> {
  const checks = new CheckList(() => undefined)
  await checkTcp(node({ DERPPort: port }), addresses, SETTINGS, checks)
  return checks.checks.map(({ status }) => status)
}

test('for localhost, one of the two loopback addresses has to accept connections', async () => {
  expect(await statuses(loopback(false), await listen('127.0.0.1'))).toEqual(['ok', 'skip'])
  expect(await statuses(loopback(false), await listen('::1'))).toEqual(['skip', 'ok'])
  expect(await statuses(loopback(false), await freePort())).toEqual(['fail', 'fail'])
})

test('an address from a map has to accept connections', async () => {
  expect(await statuses(loopback(true), await listen('127.0.0.1'))).toEqual(['ok', 'fail'])
})

test.each([
  [6, '2001:db8::7', 'fd00::2', true],
  [6, '2600:1900::7', 'fe80::1', true],
  [6, '2600:1900::7', '2a01:4f8::1', false],
  [6, 'fd00::7', 'fd00::2', false],
  [6, '::1', '::1', false],
  [4, '192.0.2.7', '10.0.0.1', false],
] as const)('IPv%i to %s from %s lacks a public source address: %s', (family, address, source, expected) => {
  expect(lacksPublicSource({ family, address, isGiven: true, source })).toBe(expected)
})

test('addresses in the map take precedence; DNS is asked only for the others', async () => {
  const checks = new CheckList(() => undefined)
  const found = await findAddresses(node({ IPv4: '127.0.0.9', IPv6: 'none' }), SETTINGS, checks)
  expect(found).toEqual([
    { family: 4, address: '127.0.0.9', isGiven: true, source: expect.any(String) },
    { family: 6, reason: 'no IPv6 address' },
  ])
  const fromDns = await findAddresses(node({}), { ...SETTINGS, families: [4] }, checks)
  expect(fromDns).toMatchObject([{ family: 4, address: '127.0.0.1', isGiven: false }])
  // A name that is not in DNS is no fault if the map has an address.
  const inMap = node({ HostName: 'relay.invalid', IPv4: '127.0.0.1' })
  const withoutDns = await findAddresses(inMap, SETTINGS, checks)
  expect(withoutDns[0]).toMatchObject({ address: '127.0.0.1' })
  expect(checks.checks.map(({ status }) => status)).toEqual(['ok', 'ok', 'ok'])
})

const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ family }) => family === 'IPv6'))
if (!hasIpv6) process.stderr.write('SKIPPING a probe over IPv6: this machine has none\n')

test.skipIf(!hasIpv6)('a relay with only an IPv6 address passes every check', async () => {
  using folder = new TemporaryFolder()
  const { sha256 } = await makeCertificate(folder.path, 'localhost')
  const [port, stunPort] = [await freePort(), await freePort()]
  const listening = ['-a', `[::1]:${port}`, '-stun-port', `${stunPort}`, '-http-port', '-1']
  const certificate = ['-hostname', 'localhost', '-certmode', 'manual', '-certdir', folder.path]
  const args = [...OWN_RELAY.args, '-c', folder.at('derper.key'), ...listening, ...certificate]
  await using relay = await startProcess(OWN_RELAY.command, args, { readyWhen: /"relay_started"/ })
  expect(relay.exit).toBeUndefined()
  const found = await probed([`[::1]:${port}`, `sha256-raw:${sha256}`, '-stun-port', `${stunPort}`])
  expect([found.code, found.named('ok')]).toEqual([0, ALL_CHECKS.map((name) => name.replace(' 4', ' 6'))])
  expect(found.report.nodes[0]?.seenAs).toEqual({ ipv4: null, ipv6: expect.stringMatching(/^\[::1\]:\d+$/) })
})

describe.skipIf(!hasIpv6)('a host with an address of each family', () => {
  let folders: readonly TemporaryFolder[] = []
  let relays: readonly Relay[] = []

  beforeAll(async () => {
    folders = [new TemporaryFolder(), new TemporaryFolder()]
    relays = await Promise.all(
      folders.map(async ({ path }) => {
        await makeCertificate(path, 'localhost')
        return startRelay({ ...OWN_RELAY, folder: path })
      }),
    )
  })

  afterAll(async () => {
    for (const relay of relays) await relay[Symbol.asyncDispose]()
    for (const folder of folders) folder[Symbol.dispose]()
  })

  test.each([
    ['passes if both lead to one relay', 0, 0, []],
    ['fails if they lead to two relays', 1, 1, ['login 6']],
  ])('%s', async (_case, at, code, failed) => {
    const [first, behindIpv6] = [relays[0], relays[at]]
    if (first === undefined || behindIpv6 === undefined) throw new Error('two relays are started')
    // The relay does not see the family of the client's address, so a forwarder can stand in for its IPv6 address.
    await using forwarder = await Listener.forwarding(behindIpv6.port, { host: '::1', port: first.port })
    expect(forwarder.port).toBe(first.port)
    const one = { Name: '900a', HostName: 'localhost', IPv4: '127.0.0.1', IPv6: '::1', DERPPort: first.port }
    const regions = { 900: { Nodes: [{ ...one, STUNPort: -1 }] } }
    const map = folders[0]?.write('map.json', JSON.stringify({ Regions: regions })) ?? ''
    const found = await probed([map, '-insecure'])
    expect([found.code, found.named('fail')]).toEqual([code, failed])
    const key = found.report.nodes[0]?.serverKey ?? 'none'
    expect(key).toBe(`nodekey:${first.publicKey}`)
    expect(found.textOf('login 6')).toContain(`nodekey:${behindIpv6.publicKey}`)
  })
})
