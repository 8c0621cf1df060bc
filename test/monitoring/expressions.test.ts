// Every expression of dashboards, rules and runbooks: Prometheus' own parser takes it, and it uses only metrics that a relay
// exports by docs/metrics.md (whose list is compared with the exporter elsewhere), that the rules record, or of Prometheus itself.

import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { stringify } from 'yaml'
import { describe, expect, it } from 'vitest'
import { boardFiles } from '../../deploy/grafana/write.ts'
import { ALERT_GROUPS } from '../../deploy/prometheus/alerts.ts'
import { SLO_GROUPS } from '../../deploy/prometheus/slos.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { runProcess } from '../support/process.ts'

const hasPromtool = spawnSync('promtool', ['--version']).error === undefined
if (!hasPromtool) process.stderr.write('SKIPPING the parsing of expressions: promtool is not on the PATH\n')

const KEYWORDS = new Set(
  'and or unless by on without ignoring group_left group_right bool offset inf nan'.split(' '),
)
const OF_PROMETHEUS = ['up', 'ALERTS']

const RULES = [...ALERT_GROUPS, ...SLO_GROUPS].flatMap(({ rules }) => rules)
const RECORDED = RULES.flatMap((rule) => ('record' in rule ? [rule.record] : []))

function exported(): readonly string[] {
  const rows = readFileSync('docs/metrics.md', 'utf8').matchAll(
    /^\| `([a-z_0-9]+)` \| (gauge|counter|histogram) \|/gm,
  )
  return [...rows].flatMap(([, name = '', type]) =>
    type === 'histogram' ? ['_bucket', '_sum', '_count'].map((suffix) => name + suffix) : [name],
  )
}

const KNOWN = new Set([...exported(), ...RECORDED, ...OF_PROMETHEUS])

interface BoardJson {
  readonly panels: readonly {
    readonly title: string
    readonly targets?: readonly { readonly expr: string }[]
  }[]
  readonly annotations: { readonly list: readonly { readonly name: string; readonly expr: string }[] }
}

/** Where each expression stands, with what Grafana and the generator would put into it. */
function expressions(): readonly (readonly [where: string, expr: string])[] {
  const ofBoards = Object.entries(boardFiles()).flatMap(([name, text]) => {
    const { panels, annotations } = JSON.parse(text) as BoardJson
    const ofPanels = panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }) => [`${name}: ${title}`, expr] as const),
    )
    return ofPanels.concat(annotations.list.map((one) => [`${name}: ${one.name}`, one.expr] as const))
  })
  const ofRules = RULES.map((rule) => ['record' in rule ? rule.record : rule.alert, rule.expr] as const)
  const ofRunbooks = readdirSync('docs/runbooks').flatMap((name) => {
    const blocks = readFileSync(`docs/runbooks/${name}`, 'utf8').matchAll(/^```promql\n([^]*?)^```$/gm)
    return [...blocks].flatMap(([, code = '']) =>
      code
        .trim()
        .split('\n')
        .map((line) => [name, line] as const),
    )
  })
  return [...ofBoards, ...ofRules, ...ofRunbooks].map(([where, expr]) => [
    where,
    expr
      .replaceAll(/\$__(?:rate_interval|range)/g, '5m')
      .replaceAll('JOB', 'job="derpfleet"')
      .replaceAll(/\$(?:job|instance)/g, 'x'),
  ])
}

/** Names of metrics: what is left of an expression without strings, matchers, lists of labels, windows and functions. */
function metricsIn(expr: string): readonly string[] {
  const bare = expr
    .replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')
    .replaceAll(/\{[^}]*\}|\[[^\]]*\]/g, ' ')
    .replaceAll(/\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)/g, ' ')
    .replaceAll(/\boffset\s+\w+/g, ' ')
  const names = [...bare.matchAll(/(?<![\w:.])[a-zA-Z_][\w:]*(?!\s*\(|[\w:])/g)].map(([name]) => name)
  return names.filter((name) => !KEYWORDS.has(name))
}

describe('expressions', () => {
  const all = expressions()

  it('are many, and each uses a metric', () => {
    expect(all.length).toBeGreaterThan(150)
    expect(all.filter(([, expr]) => metricsIn(expr).length === 0)).toEqual([])
  })

  it('use only metrics that there are', () => {
    const unknown = all.flatMap(([where, expr]) =>
      metricsIn(expr)
        .filter((name) => !KNOWN.has(name))
        .map((name) => `${where}: ${name}`),
    )
    expect(unknown).toEqual([])
    // The test must be able to fail.
    expect(metricsIn('sum by (a) (rate(derp_no_such_total{b="c"}[5m])) > 1')).toEqual(['derp_no_such_total'])
  })

  it.skipIf(!hasPromtool)('parse', async () => {
    using folder = new TemporaryFolder()
    const check = async (exprs: readonly string[]): Promise<string> => {
      const rules = exprs.map((expr, at) => ({ record: `test:expression_${at}`, expr }))
      const path = folder.write(
        'rules.yaml',
        stringify({ groups: [{ name: 'test', rules }] }, { lineWidth: 0 }),
      )
      const { stdout, stderr } = await runProcess('promtool', ['check', 'rules', path])
      return stdout + stderr
    }
    expect(await check(all.map(([, expr]) => expr))).toMatch(new RegExp(`SUCCESS: ${all.length} rules found`))
    expect(await check(['sum by (a (up)'])).toMatch(/FAILED/)
  })
})
