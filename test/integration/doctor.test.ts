// `derpfleet doctor` names what is wrong with relays that are deliberately set up wrong, and finds nothing in a sound one.
// Real relays and a real proxy on loopback; what needs hosts of its own is doctor-lab.test.ts.

import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import type { Settings } from '#config/settings.ts'
import { derpMapText } from '#fleet/derp-map-writer.ts'
import type { Node } from '#fleet/node.ts'
import type { Region } from '#fleet/region.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { derpfleet } from '../cli/program.ts'
import { DAY_MS, goodPair, makePair, writePair } from '../config/certificates.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { examination, type Examination } from '../support/examination.ts'
import { checkedBy, LiveRelay, NO_MESH } from '../support/live-relay.ts'
import { freePort } from '../support/process.ts'
import { installedProxies, startProxy } from '../support/reverse-proxies.ts'

let folder: TemporaryFolder
let port = 0
let stunPort = 0
const relays: LiveRelay[] = []

async function prepare(): Promise<void> {
  folder = new TemporaryFolder()
  port = await freePort()
  stunPort = await freePort()
}

async function clear(): Promise<void> {
  for (const relay of relays.splice(0)) await relay[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
}

type FileNode = Partial<Node> & { readonly name: string }

const LOCAL = { hostname: 'localhost', ipv4: '127.0.0.1', ipv6: 'none' }

/** Writes the regions file as an operator does, a region for each node. Returns what a relay reads. */
function writeRegions(...nodes: readonly FileNode[]): readonly Region[] {
  const entries = nodes.map(({ derpPort, stunPort: stun, ...node }, at) => [
    900 + at,
    { code: `lab${at}`, nodes: [{ ...LOCAL, ...node, derpport: derpPort, stunport: stun }] },
  ])
  const text = JSON.stringify({ regions: Object.fromEntries(entries) as object })
  const read = readRegionsFile('regions.yaml', text)
  folder.write('regions.yaml', text)
  return 'regions' in read ? read.regions : []
}

/** The relay of the tests as the file should have it. */
function ownNode(changed: Partial<Node> = {}): FileNode {
  return { name: '900a', derpPort: port, stunPort, ...changed }
}

interface SetUp {
  readonly settings?: Partial<Settings>
  /** Other relays of the fleet. */
  readonly others?: readonly FileNode[]
  readonly node?: Partial<Node>
  readonly names?: readonly string[]
  readonly certificateMs?: number
}

/** A relay with a regions file and a certificate that `-ca` makes trusted. */
async function start({ settings = {}, node, others = [], ...of }: SetUp = {}): Promise<LiveRelay> {
  const nowMs = Date.now()
  const { names = ['localhost'], certificateMs = 90 * DAY_MS } = of
  if (!('certificate' in settings))
    writePair(folder, 'localhost', makePair(names, nowMs - 100 * DAY_MS, nowMs + certificateMs))
  const regions = writeRegions(ownNode(node), ...others)
  const relay = await LiveRelay.start({
    derp: { host: '127.0.0.1', port },
    stun: { host: '127.0.0.1', port: stunPort },
    stateFolder: folder.at('state'),
    certificate: certificateFiles(),
    mesh: {
      ...NO_MESH,
      ca: certificateText(),
      node: '900a',
      regionsPath: folder.at('regions.yaml'),
      regions,
    },
    ...settings,
  })
  relays.push(relay)
  return relay
}

function certificateFiles(): { certificatePath: string; keyPath: string } {
  return { certificatePath: folder.at('localhost.crt'), keyPath: folder.at('localhost.key') }
}

/** Siblings trust each other's. */
function certificateText(): string {
  return readFileSync(folder.at('localhost.crt'), 'utf8')
}

async function examine(...args: readonly string[]): Promise<Examination> {
  const trust = ['-ca', folder.at('localhost.crt'), '-timeout', '700ms']
  return await examination('-state-dir', folder.at('state'), ...trust, ...args)
}

describe('of one relay', () => {
  beforeAll(async () => {
    await prepare()
    await start()
  })
  afterAll(clear)

  /** The relay uses this file, or refuses it. */
  async function use(write: () => void): Promise<void> {
    write()
    // A look that was under way may not have seen it.
    for (let i = 0; i < 2; i++) await derpfleet(['reload', '-state-dir', folder.at('state')])
  }

  it('nothing is found if it is sound', async () => {
    const { code, wrong, findings } = await examine()
    expect(findings.filter(({ status }) => status !== 'ok' && status !== 'skip')).toEqual([])
    expect([code, wrong]).toEqual([0, []])
  })

  it('the certificate is signed by nobody whom this machine trusts', async () => {
    const { code, wrong } = await examination('-state-dir', folder.at('state'), '-timeout', '2s')
    expect([code, wrong]).toEqual([1, ['certificate']])
  })

  it.each<[string, () => void, string, string | RegExp]>([
    [
      'the file is broken after a change',
      () => folder.write('regions.yaml', 'regions:\n  900:\n    code: lab\n    nodez: []\n'),
      'regions-file',
      'regions.yaml:4:5',
    ],
    [
      'the file does not have it any more',
      () => writeRegions({ ...ownNode(), name: '900z' }),
      'regions-file',
      'no relay with the name "900a"',
    ],
    ['the file has gone', () => rmSync(folder.at('regions.yaml')), 'regions-file', 'does not exist'],
    [
      'the STUN port is not the one in the file',
      () => writeRegions(ownNode({ stunPort: 1 })),
      'stun-port',
      'port 1/udp',
    ],
    [
      'the DERP port is not the one in the file',
      () => writeRegions(ownNode({ derpPort: 1 })),
      'derp-port',
      'refused',
    ],
    [
      'the file has an IPv6 address on which it does not listen',
      () => writeRegions(ownNode({ ipv6: '::1' })),
      'ipv6',
      '::1',
    ],
  ])('%s', async (_, write, check, seen) => {
    await use(write)
    const found = await examine()
    expect(found.wrong).toEqual([check])
    expect(found.of(check)?.seen).toMatch(seen)
  })

  describe('with a map', () => {
    let json = ''
    let yaml = ''
    beforeAll(async () => {
      await use(() => {
        const regions = writeRegions(ownNode())
        json = derpMapText('json', regions)
        yaml = derpMapText('headscale', regions)
      })
    })

    it('nothing is found if the map is sound', async () => {
      for (const [name, text] of Object.entries({ 'map.json': json, 'derp.yaml': yaml }))
        expect((await examine(folder.write(name, text))).wrong).toEqual([])
    })

    it.each<[string, () => string, readonly string[]]>([
      [
        'its nodes do not name their region',
        () => json.replaceAll('"RegionID":900,"STUNPort"', '"STUNPort"'),
        ['map-client'],
      ],
      ['it has no nodes', () => '{"Regions":{}}', ['map-client', 'map-relay']],
      ['it is none', () => '<html>hello</html>', ['map-client', 'map-headscale']],
      [
        'it has another port than the relay',
        () => json.replace(/"STUNPort":\d+/, '"STUNPort":1'),
        ['stun-port', 'map-relay'],
      ],
      [
        'it has keys that Headscale does not know',
        () => yaml.replace('hostname:', 'HostName:'),
        ['map-headscale'],
      ],
    ])('%s', async (_, text, expected) => {
      expect([json, yaml]).not.toContain(text())
      const name = text().startsWith('{') ? 'map.json' : 'derp.yaml'
      expect((await examine(folder.write(name, text()))).wrong).toEqual(expected)
    })

    it('it is at a URL whose errors empty the map of Headscale', async () => {
      const server = createServer((_request, response) => {
        response.writeHead(503, { 'Content-Type': 'application/json' }).end('{"error":"later"}')
      })
      await once(server.listen(0, '127.0.0.1'), 'listening')
      const { port: at } = server.address() as AddressInfo
      const found = await examine(`http://127.0.0.1:${at}/derpmap.json`)
      server.close()
      expect(found.wrong).toEqual(['map-client', 'map-headscale'])
    })
  })
})

const HERE_NOBODY = checkedBy('http://127.0.0.1:1/verify')

describe('of a relay of its own', () => {
  beforeEach(prepare)
  afterEach(clear)

  it('none runs', async () => {
    const { code, wrong } = await examination('-state-dir', folder.at('state'))
    expect([code, wrong]).toEqual([1, ['relay']])
  })

  it('nothing is found in one without a fleet, which has signed its certificate itself', async () => {
    relays.push(await LiveRelay.start({ stateFolder: folder.at('state') }))
    const { code, wrong } = await examination('-state-dir', folder.at('state'))
    expect([code, wrong]).toEqual([0, []])
  })

  it.each<[string, SetUp, readonly string[]]>([
    [
      'the admission back end does not answer',
      { settings: { admission: { ...HERE_NOBODY, verifyUrlFailOpen: false } } },
      ['admission'],
    ],
    [
      'the admission back end does not answer, and all are admitted',
      { settings: { admission: { ...HERE_NOBODY, verifyUrlFailOpen: true } } },
      ['admission'],
    ],
    ['the certificate has expired', { certificateMs: -DAY_MS }, ['certificate']],
    ['the certificate is about to expire', { certificateMs: 2 * DAY_MS }, ['certificate']],
    ['the certificate is for another name', { names: ['other.example'] }, ['certificate']],
    [
      'it relays nothing, and has been warned of',
      { settings: { isDerpEnabled: false, warnings: ['a secret is readable by every user'] } },
      ['ready?', 'settings?', 'upgrade'],
    ],
  ])('%s', async (_, setUp, expected) => {
    await start(setUp)
    expect((await examine()).wrong).toEqual(expected)
  })

  it('it serves without its state folder', async () => {
    folder.write('state', 'a file in its place')
    const token = folder.write('token', 'x'.repeat(40))
    const relay = await start({
      settings: { admin: { host: '127.0.0.1', port: 0 }, verbsToken: 'x'.repeat(40) },
    })
    const at = ['-addr', `127.0.0.1:${relay.addresses.admin?.port}`, '-token-file', token]
    const { wrong } = await examination(...at, '-ca', folder.at('localhost.crt'))
    expect(wrong).toEqual(['state-folder'])
  })

  it('its address leads to another relay', async () => {
    await start({ settings: { derp: { host: '127.0.0.1', port: await freePort() } } })
    const other = { derp: { host: '127.0.0.1', port }, certificate: certificateFiles() }
    relays.push(await LiveRelay.start(other))
    expect((await examine()).wrong).toEqual(['identity'])
  })

  it.skipIf(!installedProxies().includes('nginx'))('nginx in front of it eats the upgrade', async () => {
    const ownPort = await freePort()
    writePair(folder, 'localhost', goodPair('localhost'))
    await using proxy = await startProxy('nginx', {
      folder: folder.path,
      relayPort: ownPort,
      ...certificateFiles(),
      without: ['proxy_set_header Upgrade', 'proxy_set_header Connection'],
    })
    const plain = { derp: { host: '127.0.0.1', port: ownPort }, isTls: false, certificate: undefined }
    await start({ settings: plain, node: { derpPort: proxy.port } })
    const found = await examine()
    expect(found.wrong).toEqual(['upgrade'])
    expect(found.of('upgrade')?.seen).toMatch(
      /nginx.*answers the upgrade with \d+; the relay itself.*answers 101/,
    )
  })
})

describe('of two siblings', () => {
  beforeEach(prepare)
  afterEach(clear)

  /** @param change makes the other one wrong */
  async function startBoth(
    change: (sound: Settings) => Partial<Settings>,
    ...third: readonly FileNode[]
  ): Promise<void> {
    const otherPort = await freePort()
    writePair(folder, 'localhost', makePair(['localhost'], Date.now() - DAY_MS, Date.now() + 90 * DAY_MS))
    const others = [{ name: '901a', derpPort: otherPort, stunPort: -1 }, ...third]
    const first = await start({ settings: { certificate: certificateFiles() }, others })
    const { mesh } = first.settings
    const sound = {
      ...first.settings,
      nodeKey: newKeyPair(),
      stun: undefined,
      stateFolder: undefined,
      derp: { host: '127.0.0.1', port: otherPort },
      mesh: { ...mesh, node: '901a', regionsPath: undefined },
    }
    relays.push(await LiveRelay.start({ ...sound, ...change(sound) }))
  }

  /** Siblings need a moment to find each other. */
  async function examineUntil(check: string): Promise<Examination> {
    return await vi.waitFor(
      async () => {
        const found = await examine()
        if (found.of(check) === undefined) throw new Error(`no ${check} in ${found.wrong.join(' ')}`)
        return found
      },
      { timeout: 15_000, interval: 300 },
    )
  }

  it.each<[string, (sound: Settings) => Partial<Settings>, readonly string[]]>([
    ['one has another mesh key', () => ({ meshKeys: [new Uint8Array(32).fill(8)] }), ['mesh-key']],
    [
      'both have one node key',
      () => ({ nodeKey: relays[0]?.settings.nodeKey ?? newKeyPair() }),
      ['node-key'],
    ],
    [
      'one has another regions file',
      ({ mesh }) => ({ mesh: { ...mesh, regions: mesh.regions.map((one) => ({ ...one, code: 'x' })) } }),
      ['regions-file?'],
    ],
  ])('%s', async (_, change, expected) => {
    await startBoth(change)
    expect((await examineUntil(expected[0]?.replace('?', '') ?? '')).wrong).toEqual(expected)
  })

  it('both claim one node, which a third one sees', async () => {
    const thirdPort = await freePort()
    const third = { name: '902a', derpPort: thirdPort, stunPort: -1 }
    await startBoth(({ mesh }) => ({ mesh: { ...mesh, node: '900a' } }), third)
    const { settings } = relays[0] as LiveRelay
    relays.push(
      await LiveRelay.start({
        ...settings,
        nodeKey: newKeyPair(),
        stun: undefined,
        stateFolder: undefined,
        derp: { host: '127.0.0.1', port: thirdPort },
        mesh: { ...settings.mesh, node: '902a', regionsPath: undefined },
      }),
    )
    const found = await examineUntil('nodes')
    expect(found.of('nodes')?.seen).toMatch(/node 900a is claimed by .* as localhost:\d+ sees it/)
  })

  it('one has stopped', async () => {
    await startBoth(() => ({}))
    await relays.pop()?.[Symbol.asyncDispose]()
    expect((await examineUntil('siblings')).wrong).toContain('siblings')
  })
})
