// The rules and the dashboards with a real Prometheus, which scrapes a loaded fleet of three regions on loopback: each panel has
// data, the commands of the runbooks run, and alerts fire in their faults and end after them. All durations of the rules are
// divided by sixty.

import { readdirSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { boardFiles } from '../../deploy/grafana/write.ts'
import { DEFAULT_OPTIONS } from '../../deploy/prometheus/rule.ts'
import { ruleFiles } from '../../deploy/prometheus/write.ts'
import { runProcess, waitUntil } from '../support/process.ts'
import { hasPrometheus, Prometheus } from '../support/prometheus.ts'
import { VerifyServer } from '../support/verify-server.ts'
import { WatchedFleet } from './watched-fleet.ts'

if (!hasPrometheus)
  process.stderr.write('SKIPPING the alerts and dashboards: prometheus is not on the PATH\n')

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const NODES = ['900a', '900b', '901a', '902a']
const SCALE = 60
const CLIENTS_EACH = 8
/** Loads the machine, and is judged only once the slowest number is there: round trips are read once a minute. */
const PANELS_MS = 120_000
const FIRE_MS = 120_000
/** Pings of the last minute count, and windows of thirty seconds. */
const END_MS = 150_000

interface BoardJson {
  readonly panels: readonly {
    readonly type: string
    readonly title: string
    readonly targets?: readonly { readonly expr: string }[]
  }[]
}

interface Fault {
  /** The alerts that it causes; others may fire as well. */
  readonly alerts: readonly string[]
  readonly begin: () => Promise<void> | void
  readonly end: () => Promise<void> | void
}

describe.skipIf(!hasPrometheus)('a watched fleet', { timeout: 300_000 }, () => {
  let fleet: WatchedFleet
  let verify: VerifyServer
  let prometheus: Prometheus

  beforeAll(async () => {
    verify = await VerifyServer.start()
    fleet = await WatchedFleet.start(NODES, verify.url)
    const rules = ruleFiles({ ...DEFAULT_OPTIONS, scale: SCALE })
    prometheus = await Prometheus.start(join(fleet.folder, 'prometheus'), targets(), rules)
    fleet.load(CLIENTS_EACH)
  }, 120_000)

  afterAll(async () => {
    await prometheus?.[Symbol.asyncDispose]()
    await fleet?.[Symbol.asyncDispose]()
    await verify?.[Symbol.asyncDispose]()
  })

  const targets = () => ({ derpfleet: NODES.map((node) => fleet.admin(node)) })

  /** Names of alerts that fire; the slow burns end only after six minutes. */
  async function firing(): Promise<ReadonlySet<string>> {
    const alerts = await prometheus.alerts()
    for (const { annotations } of alerts)
      expect(JSON.stringify(annotations)).not.toMatch(/<no value>|error expanding/)
    return new Set(
      alerts
        .filter(({ labels, state }) => state === 'firing' && labels['window'] !== '3d')
        .map(({ labels }) => labels['alertname'] ?? ''),
    )
  }

  /** What Grafana would ask for the first relay of the fleet. */
  const asked = (expr: string): string =>
    expr
      .replaceAll('$job', 'derpfleet')
      .replaceAll('$instance', fleet.admin('900a'))
      .replaceAll('$__rate_interval', '10s')
      .replaceAll('$__range', '5m')

  /** The queries without a number, as `board: panel: expression`. */
  async function emptyPanels(): Promise<readonly string[]> {
    const queries = Object.entries(boardFiles()).flatMap(([board, text]) =>
      (JSON.parse(text) as BoardJson).panels.flatMap(({ title, targets: list = [] }) =>
        list.map(({ expr }) => ({ name: `${board}: ${title}: ${expr}`, expr })),
      ),
    )
    const answers = await Promise.all(
      queries.map(async ({ name, expr }) => ({ name, found: await prometheus.query(asked(expr)) })),
    )
    return answers
      .filter(({ found }) => !found.some(({ value }) => Number.isFinite(value)))
      .map(({ name }) => name)
  }

  it('has numbers for every panel, and no alert fires', async () => {
    let empty: readonly string[] = []
    await waitUntil(
      'no panel is empty',
      async () => {
        empty = await emptyPanels()
        return empty.length === 0
      },
      PANELS_MS,
    ).catch(() => undefined)
    expect(empty).toEqual([])
    expect([...(await firing())]).toEqual([])
  })

  it('runs the commands of the runbooks', async () => {
    const folder = join(ROOT, 'docs/runbooks')
    const env = { RELAY: fleet.admin('900a'), PATH: `${ROOT}bin:${process.env['PATH']}` }
    for (const name of readdirSync(folder)) {
      const text = readFileSync(join(folder, name), 'utf8')
      for (const [, reason, code = ''] of text.matchAll(
        /(<!-- not run: [^>]+ -->\n\n)?^```sh\n([^]*?)^```$/gm,
      )) {
        if (reason !== undefined) continue
        const { code: exit, stdout, stderr } = await runProcess('sh', ['-eu', '-c', code], { env })
        expect(exit, `${name}: ${code}: ${stderr}`).toBe(0)
        expect(stdout, `${name}: ${code}`).not.toBe('')
      }
    }
  })

  const spoil = async (node: string, name: string, content: string): Promise<void> =>
    await writeFile(fleet.path(node, name), content)

  const restart = async (node: string, psk?: string): Promise<void> => {
    await fleet.kill(node)
    await fleet.startRelay(node, psk)
  }
  const FAULTS: Readonly<Record<string, Fault>> = {
    'a relay is killed that is alone in its region': {
      alerts: ['RelayDown', 'RegionDown', 'FleetRelayDown', 'AvailabilityBurn'],
      begin: async () => await fleet.kill('901a'),
      end: async () => await fleet.startRelay('901a'),
    },
    'a relay has started with another mesh key': {
      alerts: ['MeshPartition', 'FleetSplit', 'MapStale'],
      begin: async () => await restart('902a', 'ab'.repeat(32)),
      end: async () => await restart('902a'),
    },
    'the verifier is slow': {
      alerts: ['AdmissionSlow'],
      begin: () => void (verify.delayMs = 2_500),
      end: () => void (verify.delayMs = 0),
    },
    'the verifier fails': {
      alerts: ['AdmissionErrors', 'LoginBurn', 'RelayNotReady', 'StunDead'],
      begin: () => void (verify.status = 500),
      end: () => void (verify.status = 200),
    },
    'a regions file is broken': {
      alerts: ['ConfigRefused'],
      begin: async () => await spoil('900b', 'regions.yaml', 'regions: nonsense'),
      end: async () => await spoil('900b', 'regions.yaml', fleet.regionsText),
    },
    'Prometheus finds no relay': {
      alerts: ['RelaysAbsent'],
      begin: async () => await prometheus.setTargets({ derpfleet: [] }),
      end: async () => await prometheus.setTargets(targets()),
    },
  }

  it.each(Object.entries(FAULTS))(
    'alerts fire while %s, and end after it',
    async (_, { alerts, begin, end }) => {
      const fired = new Set<string>()
      try {
        await begin()
        await waitUntil(
          'they fire',
          async () => {
            for (const alert of await firing()) fired.add(alert)
            return alerts.every((alert) => fired.has(alert))
          },
          FIRE_MS,
        ).catch(() => expect.fail(`not fired: ${alerts.filter((alert) => !fired.has(alert)).join(', ')}`))
      } finally {
        await end()
      }
      await waitUntil('all end', async () => (await firing()).size === 0, END_MS).catch(async () =>
        expect.fail(`${[...(await firing())].join(', ')}: not ended`),
      )
      await sleep(1_000)
    },
  )
})
