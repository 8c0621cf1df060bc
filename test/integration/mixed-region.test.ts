// A region of one derper and two derpfleets, each on a host of its own and started with derper's flags. Packets pass
// between any two, also after each was disconnected or restarted, and all checks of derpprobe pass.

import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { ReconnectingDerpClient } from '#client/reconnecting-derp-client.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { issueCertificate, makeAuthority } from '../support/certificate.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { Lab } from '../support/lab.ts'
import { canMakeNetworks } from '../support/network.ts'
import { runProcess, startProcess, waitUntil, type RunningProcess } from '../support/process.ts'
import { PROGRAM as derpfleet } from '../support/program-path.ts'

const START_TIMEOUT_MS = 60_000
const TEST_TIMEOUT_MS = 120_000
/** A sibling that returns is dialled within 5 s and connected within one more second. */
const MESHED_TIMEOUT_MS = 8_000

const HOSTS = ['derp1.lab', 'derp2.lab', 'derp3.lab'] as const
type Host = (typeof HOSTS)[number]

const found = await foreignPrograms('derper-1.104.5', 'derpprobe')
const canMake = await canMakeNetworks()
if (!canMake) process.stderr.write('SKIPPING tests of a mixed region: network namespaces require root\n')

describe.skipIf('missing' in found || !canMake)('a region of a derper and two derpfleets', () => {
  const paths = 'paths' in found ? found.paths : { 'derper-1.104.5': '', derpprobe: '' }
  let folder: string
  let lab: Lab
  let ca: string
  const relays = new Map<Host, RunningProcess>()
  const clients = new Map<Host, ReconnectingDerpClient>()

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mixed-region-'))
    const authority = await makeAuthority(folder, 'authority')
    ca = await readFile(authority.certPath, 'utf8')
    await writeFile(join(folder, 'psk'), randomBytes(32).toString('hex'), { mode: 0o600 })
    lab = await Lab.make(...HOSTS)
    for (const host of HOSTS) {
      await issueCertificate(folder, host, authority)
      await writeFile(join(folder, `${host}.json`), formatKeyFile(newKeyPair()), { mode: 0o600 })
    }
    await Promise.all(HOSTS.map(start))
    for (const host of HOSTS) clients.set(host, await clientOf(host))
  }, START_TIMEOUT_MS)

  afterAll(async () => {
    for (const client of clients.values()) await client.close()
    for (const relay of relays.values()) await relay.stop()
    await lab[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  }, START_TIMEOUT_MS)

  async function start(host: Host): Promise<void> {
    const isDerper = host === 'derp1.lab'
    const program = isDerper ? [paths['derper-1.104.5']] : [derpfleet, 'serve']
    const at = ['-c', join(folder, `${host}.json`), '-a', ':443', '-hostname', host]
    const certificate = ['-certmode', 'manual', '-certdir', folder]
    const mesh = ['-mesh-psk-file', join(folder, 'psk'), '-mesh-with', HOSTS.join(',')]
    const [command, args] = lab
      .host(host)
      .command(...([...program, ...at, ...certificate, ...mesh] as [string]))
    const relay = await startProcess(command, args, {
      // derper reads its trusted roots from the environment; derpfleet that a public relay without admission is
      // intended.
      env: { SSL_CERT_FILE: join(folder, 'authority.crt'), DERPFLEET_OPEN_RELAY: 'true' },
      readyWhen: isDerper ? /serving on/ : /"relay_started"/,
    })
    relays.set(host, relay)
  }

  async function clientOf(host: Host): Promise<ReconnectingDerpClient> {
    const client = new ReconnectingDerpClient({
      host,
      dialAddress: lab.host(host).address,
      tls: { ca },
      key: newKeyPair(),
    })
    client.start()
    await waitUntil(`a client is connected to ${host}`, () => client.isConnected, START_TIMEOUT_MS)
    return client
  }

  /** Sends until a packet arrives: presence takes a moment. */
  async function sendUntilReceived(from: Host, to: Host): Promise<void> {
    const [sender, receiver] = [clients.get(from), clients.get(to)]
    if (sender === undefined || receiver === undefined) throw new Error('no such client')
    const text = `${from} to ${to} ${randomBytes(4).toString('hex')}`
    let hasArrived = false
    const off = receiver.on('packet', ({ packet }) => (hasArrived ||= packet.toString() === text))
    try {
      await waitUntil(
        `a packet arrives from ${from} at ${to}`,
        () => {
          if (!hasArrived) sender.send(receiver.publicKey, Buffer.from(text))
          return hasArrived
        },
        MESHED_TIMEOUT_MS,
      )
    } finally {
      off()
    }
  }

  async function sendBetweenAll(): Promise<void> {
    for (const from of HOSTS) for (const to of HOSTS) await sendUntilReceived(from, to)
  }

  test('packets pass in all directions', { timeout: TEST_TIMEOUT_MS }, sendBetweenAll)

  test.each(HOSTS)(
    'packets pass again after %s was disconnected from the network',
    { timeout: TEST_TIMEOUT_MS },
    async (host) => {
      await lab.host(host).unplug()
      const others = HOSTS.filter((one) => one !== host)
      for (const from of others) for (const to of others) await sendUntilReceived(from, to)
      await sleep(3_000)
      await lab.host(host).plug()
      await sendBetweenAll()
    },
  )

  test.each(HOSTS)(
    'packets pass again after %s was killed and started again',
    { timeout: TEST_TIMEOUT_MS },
    async (host) => {
      relays.get(host)?.signal('SIGKILL')
      await relays.get(host)?.exited
      const others = HOSTS.filter((one) => one !== host)
      for (const from of others) for (const to of others) await sendUntilReceived(from, to)
      await start(host)
      await waitUntil(
        `a client is connected to ${host} again`,
        () => clients.get(host)?.isConnected === true,
        START_TIMEOUT_MS,
      )
      await sendBetweenAll()
    },
  )

  test('derpprobe finds nothing wrong', { timeout: TEST_TIMEOUT_MS }, async () => {
    const nodes = HOSTS.map((host, i) => ({
      Name: `900${'abc'[i]}`,
      RegionID: 900,
      HostName: host,
      IPv4: lab.host(host).address,
      IPv6: lab.host(host).address6,
    }))
    const map = {
      Regions: { 900: { RegionID: 900, RegionCode: 'lab', RegionName: 'Laboratory', Nodes: nodes } },
    }
    const mapPath = join(folder, 'map.json')
    await writeFile(mapPath, JSON.stringify(map))
    const options = [`-derp-map=${pathToFileURL(mapPath).href}`, '-once', '-spread=false']
    const [command, args] = lab
      .host('derp3.lab')
      .command(paths.derpprobe, ...options, '-mesh-psk-file', join(folder, 'psk'))
    const env = { SSL_CERT_FILE: join(folder, 'authority.crt'), SSL_CERT_DIR: join(folder, 'none') }
    const { code, stdout, stderr } = await runProcess(command, args, { env, timeoutMs: TEST_TIMEOUT_MS })
    expect(stdout + stderr).not.toContain('bad: ')
    expect(code).toBe(0)
    const good = [...(stdout + stderr).matchAll(/good: ([^\s:]+)/g)].map(([, name]) => name ?? '')
    const names = nodes.map(({ Name }) => Name)
    const each = names.flatMap((name) => ['tls', 'udp', 'udp6'].map((what) => `derp/lab/${name}/${what}`))
    const pairs = names.flatMap((from) => names.map((to) => `derp/lab/${from}/${to}/mesh`))
    expect(good.sort()).toEqual([...each, ...pairs, 'derpmap-probe'].sort())
  })
})
