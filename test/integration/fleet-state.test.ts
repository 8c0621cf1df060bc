// The fleet's state among real processes: two derpfleets and a derper of one regions file. Each derpfleet answers for all
// three; one drains, ends, comes back and is killed; a sibling sends nonsense; and derper passes over the frame that is not
// DERP's.

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { ReconnectingDerpClient } from '#client/reconnecting-derp-client.ts'
import { frame } from '#protocol/handshake.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { relayStateFrame } from '#protocol/frames.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { issueCertificate, makeAuthority } from '../support/certificate.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { freePort, startProcess, waitUntil, type RunningProcess } from '../support/process.ts'
import { RawSibling } from '../support/raw-sibling.ts'
import { messageOf } from '../support/relay-states.ts'
import { PROGRAM as derpfleet } from '../support/program-path.ts'

const TIMEOUT_MS = 120_000
/** The bound of silence is 25 s. */
const DOWN_TIMEOUT_MS = 45_000
/** More than the clocks of silence differ by, and less than that bound. */
const BETWEEN_DEATHS_MS = 8_000
const NODES = ['900a', '900b', '901a'] as const
type NodeName = (typeof NODES)[number]
const DERPER = '901a'

const found = await foreignPrograms('derper-1.104.5')
const derper = 'paths' in found ? found.paths['derper-1.104.5'] : ''

interface FleetAnswer {
  readonly majority: { readonly seen: number; readonly expected: number; readonly isMajority: boolean }
  readonly nodes: Readonly<Record<string, string>>
  readonly conflicts: readonly { readonly what: string }[]
  readonly matrix: {
    readonly relays: readonly string[]
    readonly links: readonly {
      readonly from: string
      readonly to: string
      readonly isUp: boolean
      readonly rttMedianMs?: number
    }[]
  }
  readonly relays: readonly {
    readonly nodes: readonly string[]
    readonly isListed: boolean
    readonly knownBy: string
    readonly last?: {
      readonly version: string
      readonly health: { readonly state: string }
      readonly load: Readonly<Record<string, number>>
      readonly certificateNotAfterMs?: number
    }
  }[]
}

describe.skipIf('missing' in found)('two derpfleets and a derper', { timeout: TIMEOUT_MS }, () => {
  let folder: string
  const meshKey = randomBytes(32)
  const ports = new Map<NodeName, number>()
  const adminPorts = new Map<NodeName, number>()
  const running = new Map<NodeName, RunningProcess>()

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fleet-state-'))
    const authority = await makeAuthority(folder, 'authority')
    await issueCertificate(folder, 'localhost', authority)
    await writeFile(join(folder, 'psk'), meshKey.toString('hex'), { mode: 0o600 })
    for (const node of NODES) {
      ports.set(node, await freePort())
      adminPorts.set(node, await freePort())
      await writeFile(join(folder, `${node}.json`), formatKeyFile(newKeyPair()), { mode: 0o600 })
    }
    const line = (node: NodeName): string =>
      `      - { name: ${node}, hostname: localhost, derpport: ${ports.get(node)}, ipv4: 127.0.0.1 }`
    await writeFile(
      join(folder, 'regions.yaml'),
      [
        'regions:',
        '  900:',
        '    code: fra',
        '    nodes:',
        line('900a'),
        line('900b'),
        '  901:',
        '    code: nyc',
        '    nodes:',
        line('901a'),
      ].join('\n'),
    )
    await Promise.all(NODES.map(start))
  }, TIMEOUT_MS)

  afterAll(async () => {
    await Promise.all([...running.values()].map(async (one) => await one.stop()))
    await rm(folder, { recursive: true, force: true })
  }, TIMEOUT_MS)

  async function start(node: NodeName): Promise<void> {
    const file = (name: string): string => join(folder, name)
    const at = ['-c', file(`${node}.json`), '-a', `127.0.0.1:${ports.get(node)}`, '-hostname', 'localhost']
    const served = [...at, '-stun=false', '-http-port', '-1', '-certmode', 'manual', '-certdir', folder]
    const common = [...served, '-mesh-psk-file', file('psk')]
    if (node === DERPER) {
      const siblings = ['900a', '900b'].map((other) => `localhost:${ports.get(other as NodeName)}`).join(',')
      const options = { env: { SSL_CERT_FILE: file('authority.crt') }, readyWhen: /serving on/ }
      running.set(node, await startProcess(derper, [...common, '-mesh-with', siblings], options))
      return
    }
    const fleet = [
      '-regions-file',
      file('regions.yaml'),
      '-node',
      node,
      '-mesh-ca-file',
      file('authority.crt'),
      // Longer than a relay is away that starts again, and than the time between two deaths.
      '-map-removal',
      '20s',
    ]
    const own = [
      '-threads',
      '2',
      '-admin',
      `127.0.0.1:${adminPorts.get(node)}`,
      '-state-dir',
      file(`state-${node}`),
    ]
    const args = ['serve', ...common, ...fleet, ...own]
    running.set(node, await startProcess(derpfleet, args, { readyWhen: /"relay_started"/ }))
  }

  async function fleetOf(node: NodeName): Promise<FleetAnswer> {
    const answer = await fetch(`http://127.0.0.1:${adminPorts.get(node)}/fleet`)
    expect(answer.headers.get('content-type')).toBe('application/json')
    return (await answer.json()) as FleetAnswer
  }

  async function mapOf(node: NodeName): Promise<{ readonly text: string; readonly isStale: boolean }> {
    const answer = await fetch(`http://127.0.0.1:${adminPorts.get(node)}/derpmap.json`)
    return { text: await answer.text(), isStale: answer.headers.get('derpfleet-map-stale') === 'true' }
  }

  async function metric(node: NodeName, series: string): Promise<number> {
    const page = await (await fetch(`http://127.0.0.1:${adminPorts.get(node)}/metrics`)).text()
    const line = page.split('\n').find((one) => one.startsWith(`${series} `))
    return Number(line?.slice(series.length))
  }

  async function states(node: NodeName): Promise<string> {
    const { nodes } = await fleetOf(node)
    return NODES.map((one) => nodes[one]).join(' ')
  }

  function output(node: NodeName): string {
    return running.get(node)?.output ?? ''
  }

  async function allTold(): Promise<void> {
    for (const node of ['900a', '900b'] as const) {
      await waitUntil(
        `${node} knows how all are`,
        async () => {
          const { majority, relays, matrix } = await fleetOf(node)
          const told = relays.filter(({ isListed, knownBy }) => isListed && knownBy === 'state')
          return majority.seen === 3 && told.length === 2 && matrix.links.every(({ isUp }) => isUp)
        },
        20_000,
      )
    }
  }

  async function client(node: NodeName): Promise<ReconnectingDerpClient> {
    const client = new ReconnectingDerpClient({
      host: 'localhost',
      dialAddress: '127.0.0.1',
      port: ports.get(node) ?? 0,
      tls: { isInsecure: true },
      key: newKeyPair(),
    })
    client.start()
    await waitUntil(`a client is connected to ${node}`, () => client.isConnected, 20_000)
    return client
  }

  async function sendBetween(from: NodeName, to: NodeName): Promise<void> {
    await using sender = await client(from)
    await using receiver = await client(to)
    let hasArrived = false
    receiver.on('packet', () => (hasArrived = true))
    await waitUntil(
      `a packet passes from ${from} to ${to}`,
      () => {
        if (!hasArrived) sender.send(receiver.publicKey, Buffer.from('hello'))
        return hasArrived
      },
      20_000,
    )
  }

  test('each derpfleet answers for the whole fleet', async () => {
    await allTold()
    for (const [node, other] of [
      ['900a', '900b'],
      ['900b', '900a'],
    ] as const) {
      expect(await states(node)).toBe('up up up')
      const { relays, majority } = await fleetOf(node)
      expect(majority).toEqual({ seen: 3, expected: 3, isMajority: true })
      const [told, silent] = [other, DERPER].map((one) => relays.find(({ nodes }) => nodes.includes(one)))
      expect(silent).toMatchObject({ knownBy: 'link' })
      expect(silent).not.toHaveProperty('last')
      expect(told?.last).toMatchObject({
        health: { failing: expect.any(Array) },
        load: { clients: expect.any(Number) },
      })
      expect(told?.last?.certificateNotAfterMs).toBeGreaterThan(Date.now())
    }
  })

  test('each derpfleet has the links of both', async () => {
    const names = NODES.map((node) => `localhost:${ports.get(node)}`)
    const [first, second, silent] = names
    const links = [
      `${first} > ${second}`,
      `${first} > ${silent}`,
      `${second} > ${first}`,
      `${second} > ${silent}`,
    ]
    for (const node of ['900a', '900b'] as const) {
      await waitUntil(
        `${node} knows all round trips`,
        async () => (await fleetOf(node)).matrix.links.every(({ rttMedianMs }) => rttMedianMs !== undefined),
        20_000,
      )
      const { matrix } = await fleetOf(node)
      expect(matrix.relays.toSorted()).toEqual(names.toSorted())
      expect(matrix.links.map(({ from, to }) => `${from} > ${to}`).toSorted()).toEqual(links.toSorted())
      const [link] = matrix.links
      expect(link).toMatchObject({
        isUp: true,
        rttMs: expect.any(Number),
        rttMinMs: expect.any(Number),
        jitterMs: expect.any(Number),
        lossRatio: expect.any(Number),
        queueDelayMs: expect.any(Number),
      })
    }
  })

  test('derper passes over the frame, and the mesh works in all directions', async () => {
    await using sibling = await RawSibling.open(ports.get(DERPER) ?? 0, meshKey)
    await sibling.send(relayStateFrame(messageOf('900a')), relayStateFrame(Buffer.alloc(32_768, ' ')))
    await sibling.answered()
    expect(sibling.isClosed).toBe(false)
    for (const from of NODES) for (const to of NODES) if (from !== to) await sendBetween(from, to)
    expect(output(DERPER)).not.toMatch(/panic|unknown frame/i)
  })

  test('a sibling that sends nonsense changes nothing, and the log stays short', async () => {
    await using sibling = await RawSibling.open(ports.get('900a') ?? 0, meshKey)
    const garbage = frame(FrameType.relayState, Buffer.alloc(2_000, 'x'))
    for (let round = 0; round < 50; round++) await sibling.send(...Array.from({ length: 100 }, () => garbage))
    await sibling.send(frame(FrameType.relayState, Buffer.alloc(60_000, 'x')))
    await sibling.answered()
    expect(sibling.isClosed).toBe(false)
    expect(await metric('900a', 'derp_relay_states_refused_total')).toBeGreaterThan(4_900)
    expect(await metric('900a', 'derp_fleet_states_total{result="unreadable"}')).toBeLessThan(100)
    expect(await states('900a')).toBe('up up up')
    const lines = output('900a')
      .split('\n')
      .filter((line) => line.includes('fleet_state_refused'))
    expect(lines.length).toBe(1)
  })

  test('a relay that claims the node of another is named, and does not count', async () => {
    await allTold()
    await using sibling = await RawSibling.open(ports.get('900a') ?? 0, meshKey)
    const health = { state: 'draining', failing: [] } as const
    await sibling.send(relayStateFrame(messageOf('intruder', { key: sibling.key, nodes: ['900b'], health })))
    await waitUntil('it is named', async () => (await fleetOf('900a')).conflicts.length === 1)
    expect(await states('900a')).toBe('up up up')
    await waitUntil('the log names it', () => output('900a').includes('fleet_conflict'))
  })

  test('one that drains says so, is down at once when it has ended, and up when it is back', async () => {
    await allTold()
    await using _client = await client('900b')
    const seen: string[] = []
    running.get('900b')?.signal('SIGTERM')
    await waitUntil(
      '900b is down',
      async () => {
        const state = (await fleetOf('900a')).nodes['900b'] ?? ''
        if (seen.at(-1) !== state) seen.push(state)
        return state === 'down'
      },
      // Well below the bound of silence.
      15_000,
    )
    expect(seen.filter((state) => state !== 'up')).toEqual(['draining', 'down'])
    expect((await fleetOf('900a')).majority).toEqual({ seen: 2, expected: 2, isMajority: true })
    await running.get('900b')?.exited
    await start('900b')
    await allTold()
    expect([await states('900a'), await states('900b')]).toEqual(['up up up', 'up up up'])
  })

  test('relays that are killed are down after the bound, whether they told their state or not', async () => {
    const map = await mapOf('900a')
    expect(map.isStale).toBe(false)
    // The only relay of a region first: when it is to leave the map, the majority is lost, and from then on nothing leaves.
    for (const node of [DERPER, '900b'] as const) {
      running.get(node)?.signal('SIGKILL')
      await running.get(node)?.exited
      if (node === DERPER) await sleep(BETWEEN_DEATHS_MS)
    }
    expect(await states('900a')).toBe('up up up')
    await waitUntil('both are down', async () => (await states('900a')) === 'up down down', DOWN_TIMEOUT_MS)
    expect((await fleetOf('900a')).majority).toEqual({ seen: 1, expected: 3, isMajority: false })
    // It may be the one that is cut off: clients keep the region of the others.
    await waitUntil('the map is stale', async () => (await mapOf('900a')).isStale)
    expect((await mapOf('900a')).text).toBe(map.text)
    const events = (): readonly string[] =>
      output('900a')
        .split('\n')
        .filter((line) => line.includes('"event":"fleet_'))
        .map((line) => (JSON.parse(line) as { event: string }).event)
    // One that ended in order, and two that were killed.
    const isTold = (): boolean => events().filter((event) => event === 'fleet_relay_down').length === 3
    await waitUntil('the log names all three', isTold)
    expect(events()).toContain('fleet_majority_lost')
  })
})
