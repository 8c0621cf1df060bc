// The rules and the dashboards with a real Prometheus, which scrapes a loaded fleet of three regions on loopback: each panel has
// data, the commands of the runbooks run, and alerts fire in their faults and end after them. All durations of the rules are
// divided by sixty.

import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { boardFiles } from '../../deploy/grafana/write.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { hasMovers } from '../support/movers.ts'
import { runProcess, waitUntil } from '../support/process.ts'
import { hasPrometheus } from '../support/prometheus.ts'
import { PHASES, TWO_VERSIONS, UNWATCHED, type Fault, type Faults } from './alert-faults.ts'
import { quickRules, WatchedLab } from './watched-lab.ts'

if (!hasPrometheus)
  process.stderr.write('SKIPPING the alerts and dashboards: prometheus is not on the PATH\n')
const programs = await foreignPrograms('nats-server', 'pebble', 'pebble-challtestsrv')
const canLoad = await hasMovers('the alerts and dashboards')

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** Loads the machine, and is judged only once the slowest number is there: round trips are read once a minute. */
const PANELS_MS = 120_000
/** Alerts with `for: 1h` wait a minute; pings of the last minute count. */
const FIRE_MS = 150_000
/** Pings of the last minute count, and windows of thirty seconds. */
const END_MS = 150_000
const VERSIONS_MS = 200_000

/** What burns a budget slowly ends when six hours are good, which are six minutes here. */
const NOT_ENDED = ['AvailabilityBurn', 'DelayBurn', 'DeliveryBurn', 'LoginBurn'].map(
  (name) => `${name} warning 3d`,
)
/**
 * No load here makes one packet in a hundred wait for a quarter of a second, or one write in seven for 100 ms: a client that reads
 * slowly loses packets before that. promtool's cases have these alerts.
 */
const NOT_FIRED = ['QueueDelayHigh warning', 'DelayBurn critical 1h', 'DelayBurn critical 6h']

interface BoardJson {
  readonly panels: readonly {
    readonly type: string
    readonly title: string
    readonly targets?: readonly { readonly expr: string }[]
  }[]
}

interface RuleFile {
  readonly groups: readonly {
    readonly rules: readonly { readonly alert?: string; readonly labels?: Readonly<Record<string, string>> }[]
  }[]
}

type Labels = Readonly<Record<string, string>>

/** Tells alerts of one name apart: by severity, and by the window of those that burn a budget. */
function idOf(name: string, labels: Labels): string {
  return [name, labels['severity'], labels['window']].filter((one) => one !== undefined).join(' ')
}

/** Every alert of the rule files. */
const ALERTS = Object.values(quickRules())
  .flatMap((text) => (parse(text) as RuleFile).groups)
  .flatMap(({ rules }) => rules)
  .flatMap(({ alert, labels = {} }) =>
    alert === undefined ? [] : [{ name: alert, id: idOf(alert, labels) }],
  )

/** What must fire in a fault, as `job: alert`. */
function expectedOf({ job, alerts }: Fault): readonly string[] {
  return ALERTS.filter(({ name, id }) => alerts.includes(name) && !NOT_ENDED.includes(id)).map(
    ({ id }) => `${job}: ${id}`,
  )
}

const phases = PHASES.map((faults): [string, Faults] => [Object.keys(faults).join(', '), faults])

describe.skipIf(!hasPrometheus || 'missing' in programs || !canLoad)(
  'a watched fleet',
  { timeout: 400_000 },
  () => {
    let lab: WatchedLab
    /** Of alerts, in any fault. */
    const ended = new Set<string>()

    beforeAll(async () => {
      if ('paths' in programs) lab = await WatchedLab.start(programs.paths)
    }, 120_000)

    afterAll(async () => await lab?.[Symbol.asyncDispose]())

    /** Alerts that fire, as `job: alert`; without those whose end is not waited for. */
    async function firing(): Promise<ReadonlySet<string>> {
      const alerts = await lab.prometheus.alerts()
      for (const { annotations } of alerts)
        expect(JSON.stringify(annotations)).not.toMatch(/<no value>|error expanding/)
      const ids = alerts
        .filter(({ state }) => state === 'firing')
        .map(({ labels }) => ({ job: labels['job'] ?? '', id: idOf(labels['alertname'] ?? '', labels) }))
      return new Set(ids.filter(({ id }) => !NOT_ENDED.includes(id)).map(({ job, id }) => `${job}: ${id}`))
    }

    /** Waits until these fire. */
    async function fire(alerts: readonly string[], timeoutMs: number): Promise<void> {
      const missing = new Set(alerts)
      await waitUntil(
        'they fire',
        async () => {
          for (const alert of await firing()) missing.delete(alert)
          return missing.size === 0
        },
        timeoutMs,
      ).catch(() =>
        expect.fail(`not fired: ${[...missing].join(', ')}\n${lab.fleet.ends}\n${lab.large.ends}`),
      )
    }

    /** Waits until none fires, but for those. */
    async function end(but: readonly string[] = []): Promise<void> {
      const others = async () => [...(await firing())].filter((alert) => !but.includes(alert))
      await waitUntil('all end', async () => (await others()).length === 0, END_MS).catch(async () =>
        expect.fail(`not ended: ${(await others()).join(', ')}`),
      )
    }

    const note = (alerts: readonly string[]): void => {
      for (const alert of alerts) ended.add(alert.replace(/^.*: /, ''))
    }

    /** What Grafana would ask for the first relay of the fleet. */
    const asked = (expr: string): string =>
      expr
        .replaceAll('$job', 'derpfleet')
        .replaceAll('$instance', lab.fleet.admin('900a'))
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
        queries.map(async ({ name, expr }) => ({ name, found: await lab.prometheus.query(asked(expr)) })),
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
      const env = { RELAY: lab.fleet.admin('900a'), PATH: `${ROOT}bin:${process.env['PATH']}` }
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

    let endTwoVersions: (() => Promise<void>) | undefined

    it('begins to run two versions', async () => {
      endTwoVersions = await TWO_VERSIONS.begin(lab)
    })

    async function show(faults: Faults, ongoing: readonly string[] = []): Promise<void> {
      const expected = Object.values(faults).flatMap(expectedOf)
      const endings: (() => Promise<void>)[] = []
      try {
        for (const { begin } of Object.values(faults)) endings.push(await begin(lab))
        await fire(expected, FIRE_MS)
      } finally {
        await Promise.all(endings.map(async (ending) => await ending()))
      }
      await end(ongoing)
      note(expected)
    }

    it.each(phases)('alerts fire while %s, and end after it', async (_, faults) => {
      await show(faults, expectedOf(TWO_VERSIONS))
    })

    it('an alert fires while two versions run, and ends after it', async () => {
      await fire(expectedOf(TWO_VERSIONS), VERSIONS_MS)
      await endTwoVersions?.()
      await end()
      note(expectedOf(TWO_VERSIONS))
    })

    it('an alert fires while Prometheus finds no relay, and ends after it', async () => {
      await show(UNWATCHED)
    })

    it('every alert has fired and ended, but for the few whose end takes long', () => {
      const missing = ALERTS.map(({ id }) => id).filter((id) => !ended.has(id))
      expect(missing.toSorted()).toEqual([...NOT_ENDED, ...NOT_FIRED].toSorted())
    })
  },
)
