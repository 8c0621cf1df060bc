// The rules of deploy/prometheus, as Prometheus' own promtool judges them: they are valid, each alert fires in its case and does
// not in a case that is close to it, and each has its page in docs/runbooks.

import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { describe, expect, it } from 'vitest'
import { ALERT_GROUPS } from '../../deploy/prometheus/alerts.ts'
import { SLO_GROUPS } from '../../deploy/prometheus/slos.ts'
import { DEFAULT_OPTIONS, runbookName, type Alert } from '../../deploy/prometheus/rule.ts'
import { ruleFiles } from '../../deploy/prometheus/write.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { runProcess } from '../support/process.ts'

const FOLDER = fileURLToPath(new URL('../../deploy/prometheus/', import.meta.url))
const RUNBOOKS = fileURLToPath(new URL('../../docs/runbooks/', import.meta.url))
const TESTS = readdirSync(`${FOLDER}tests`).map((name) => `${FOLDER}tests/${name}`)

const hasPromtool = spawnSync('promtool', ['--version']).error === undefined
if (!hasPromtool) process.stderr.write('SKIPPING the tests of alerts: promtool is not on the PATH\n')

const PARTS = ['What it means', 'Who is hurt', 'First look', 'What to do', 'When to ignore it']

const isAlert = (rule: object): rule is Alert => 'alert' in rule
const ALERTS = [...ALERT_GROUPS, ...SLO_GROUPS].flatMap(({ rules }) => rules.filter(isAlert))
const NAMES = [...new Set(ALERTS.map(({ alert }) => alert))]

interface AlertCase {
  readonly alert: string
  readonly isFiring: boolean
}

interface PromtoolTests {
  readonly tests: readonly {
    readonly alert_rule_test: readonly {
      readonly alertname: string
      readonly exp_alerts: readonly unknown[]
    }[]
  }[]
}

/** What promtool's tests ask of each alert. */
function alertCases(): readonly AlertCase[] {
  return TESTS.flatMap((path) => (parse(readFileSync(path, 'utf8')) as PromtoolTests).tests)
    .flatMap(({ alert_rule_test }) => alert_rule_test)
    .map(({ alertname, exp_alerts }) => ({ alert: alertname, isFiring: exp_alerts.length > 0 }))
}

it('the files are those that the generator writes', () => {
  for (const [name, text] of Object.entries(ruleFiles()))
    expect(readFileSync(FOLDER + name, 'utf8')).toBe(text)
})

describe.each(NAMES)('%s', (alert) => {
  it('has a case in which it fires, and one in which it must not', () => {
    const cases = alertCases().filter((one) => one.alert === alert)
    expect(new Set(cases.map(({ isFiring }) => isFiring))).toEqual(new Set([true, false]))
  })

  it('has a page with the same parts as all others, which the list of pages names', () => {
    const name = `${runbookName(alert)}.md`
    const parts = [...readFileSync(RUNBOOKS + name, 'utf8').matchAll(/^##? (.+)$/gm)].map(([, part]) => part)
    expect(parts).toEqual([alert, ...PARTS])
    expect(readFileSync(`${RUNBOOKS}README.md`, 'utf8')).toContain(`[${alert}](${name})`)
  })
})

describe.skipIf(!hasPromtool)('by promtool', () => {
  it('the rules are valid, also if they are quick', async () => {
    using folder = new TemporaryFolder()
    const quick = ruleFiles({ ...DEFAULT_OPTIONS, scale: 60 })
    const quickNames = Object.entries(quick).map(([name, text]) => folder.write(name, text))
    const names = [...Object.keys(quick).map((name) => FOLDER + name), ...quickNames]
    const { code, stdout, stderr } = await runProcess('promtool', [
      'check',
      'rules',
      '--lint-fatal',
      ...names,
    ])
    expect(stdout + stderr).toMatch(/SUCCESS/)
    expect(code).toBe(0)
  })

  // Days of samples take seconds.
  it.each(TESTS)('alerts fire when they should, and only then: %s', { timeout: 60_000 }, async (path) => {
    const { code, stdout, stderr } = await runProcess('promtool', ['test', 'rules', path])
    expect(code, stdout + stderr).toBe(0)
  })
})

it('the severities are three, and every alert says what is wrong and what was seen', () => {
  for (const { alert, severity, summary, description } of ALERTS) {
    expect(['critical', 'warning', 'info'], alert).toContain(severity)
    expect(summary, alert).toMatch(/^[^\n]{10,140}\.$/)
    expect(description.length, alert).toBeGreaterThan(summary.length / 2)
  }
})
