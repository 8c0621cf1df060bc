// The rules and the dashboards with a real Prometheus, which scrapes a fleet of three regions on loopback: each panel has data,
// and each alert fires in its fault and ends after it. All durations of the rules are divided by sixty.

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { boardFiles } from '../../deploy/grafana/write.ts'
import { DEFAULT_OPTIONS } from '../../deploy/prometheus/rule.ts'
import { ruleFiles } from '../../deploy/prometheus/write.ts'
import { LoopbackFleet } from '../support/loopback-fleet.ts'
import { waitUntil } from '../support/process.ts'
import { hasPrometheus, Prometheus } from '../support/prometheus.ts'

if (!hasPrometheus)
  process.stderr.write('SKIPPING the alerts and dashboards: prometheus is not on the PATH\n')

const NODES = ['900a', '901a', '902a']
const SCALE = 60
const ALERT_MS = 60_000

interface BoardJson {
  readonly panels: readonly {
    readonly title: string
    readonly targets?: readonly { readonly expr: string }[]
  }[]
}

describe.skipIf(!hasPrometheus)('a watched fleet', { timeout: 600_000 }, () => {
  let fleet: LoopbackFleet
  let prometheus: Prometheus

  beforeAll(async () => {
    fleet = await LoopbackFleet.make(
      NODES,
      (fieldsOf) =>
        `regions:\n${NODES.map((node, at) => `  ${900 + at}: { code: r${at}, nodes: [{ ${fieldsOf(node)} }] }\n`).join('')}`,
    )
    await Promise.all(NODES.map(async (node) => await fleet.start(node)))
    const targets = { derpfleet: NODES.map((node) => `127.0.0.1:${fleet.ports(node).admin}`) }
    const rules = ruleFiles({ ...DEFAULT_OPTIONS, scale: SCALE })
    prometheus = await Prometheus.start(join(fleet.folder, 'prometheus'), targets, rules)
  }, 120_000)

  afterAll(async () => {
    await prometheus?.[Symbol.asyncDispose]()
    await fleet?.[Symbol.asyncDispose]()
  })

  async function isFiring(alert: string): Promise<boolean> {
    const alerts = await prometheus.alerts()
    return alerts.some(({ labels, state }) => labels['alertname'] === alert && state === 'firing')
  }

  it('has data for every panel', async () => {
    await waitUntil(
      'all are scraped',
      async () => (await prometheus.query('up == 1')).length === NODES.length,
    )
    for (const text of Object.values(boardFiles())) {
      for (const { title, targets = [] } of (JSON.parse(text) as BoardJson).panels) {
        for (const { expr } of targets) {
          const found = await prometheus.query(expr.replaceAll(/\$job|\$instance/g, '.*'))
          expect(found, title).not.toEqual([])
        }
      }
    }
  })

  it('RelayDown fires for a relay that was killed, and ends when it is back', async () => {
    await fleet.kill('902a')
    await waitUntil('it fires', async () => await isFiring('RelayDown'), ALERT_MS)
    await fleet.start('902a')
    await waitUntil('it ends', async () => !(await isFiring('RelayDown')), ALERT_MS)
  })
})
