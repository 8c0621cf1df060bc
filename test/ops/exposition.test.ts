import { spawnSync } from 'node:child_process'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { acceptedFormat, writeExposition } from '#ops/exposition.ts'
import { histogramSamples, sample, type MetricFamily } from '#ops/metric-family.ts'
import { Metrics } from '#ops/metrics.ts'
import { Counters } from '#relay/counters.ts'
import { testSources } from './sources.ts'
import { parseClassic, parseOpenMetrics } from './strict-exposition.ts'

const hasPromtool = spawnSync('promtool', ['--version']).error === undefined
if (!hasPromtool) process.stderr.write('SKIPPING a test that needs promtool: it is not on the PATH\n')

const families: readonly MetricFamily[] = [
  { name: 'a_total', type: 'counter', help: 'All "a".', samples: [sample(3, { kind: 'x' })] },
  { name: 'empty', type: 'gauge', help: 'Nothing.', samples: [] },
  {
    name: 'b',
    type: 'gauge',
    help: 'One\nback\\slash',
    samples: [sample(-Infinity), sample(0.5, { c: '"' })],
  },
  {
    name: 'h_seconds',
    type: 'histogram',
    help: 'Times.',
    samples: histogramSamples([0.5, 1], { counts: [1, 2, 3], sum: 7.5 }),
  },
  { name: 'u', type: 'untyped', help: '', samples: [sample(Number.NaN)] },
]

it('writes the classic format', () => {
  expect(writeExposition(families, 'classic')).toBe(
    [
      '# HELP a_total All "a".',
      '# TYPE a_total counter',
      'a_total{kind="x"} 3',
      String.raw`# HELP b One\nback\\slash`,
      '# TYPE b gauge',
      'b -Inf',
      String.raw`b{c="\""} 0.5`,
      '# HELP h_seconds Times.',
      '# TYPE h_seconds histogram',
      'h_seconds_bucket{le="0.5"} 1',
      'h_seconds_bucket{le="1"} 3',
      'h_seconds_bucket{le="+Inf"} 6',
      'h_seconds_sum 7.5',
      'h_seconds_count 6',
      'u NaN',
      '',
    ].join('\n'),
  )
})

it('writes OpenMetrics, with its own rules for family names and bounds', () => {
  expect(writeExposition(families, 'openMetrics')).toBe(
    [
      '# TYPE a counter',
      String.raw`# HELP a All \"a\".`,
      'a_total{kind="x"} 3',
      '# TYPE b gauge',
      String.raw`# HELP b One\nback\\slash`,
      'b -Inf',
      String.raw`b{c="\""} 0.5`,
      '# TYPE h_seconds histogram',
      '# HELP h_seconds Times.',
      'h_seconds_bucket{le="0.5"} 1',
      'h_seconds_bucket{le="1.0"} 3',
      'h_seconds_bucket{le="+Inf"} 6',
      'h_seconds_sum 7.5',
      'h_seconds_count 6',
      '# TYPE u unknown',
      'u NaN',
      '# EOF',
      '',
    ].join('\n'),
  )
})

it('any label value is one line, and parses back to itself', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.constantFrom('\\', '"', '\n', '\\n'), (text, special) => {
      const value = text + special + text
      const family: MetricFamily = { name: 'x', type: 'gauge', help: '', samples: [sample(1, { l: value })] }
      const written = writeExposition([family], 'classic')
      const [series = ''] = parseClassic(written).get('x')?.samples.keys() ?? []
      const escaped = /^x\{l="(.*)"\}$/s.exec(series)?.[1] ?? ''
      const read = escaped.replaceAll(/\\(.)/g, (_all, char: string) => (char === 'n' ? '\n' : char))
      expect(read).toBe(value)
    }),
  )
})

describe('all metrics of a relay with traffic', () => {
  const counters = new Counters()
  for (const seconds of [0.0001, 0.02, 9]) counters.observe('queueDelay', seconds)
  counters.observe('login', 100)
  const metrics = new Metrics(testSources({ threads: [counters] }))

  it('are valid and equal in both formats, in any order of requests', async () => {
    const openMetrics = parseOpenMetrics((await metrics.page('application/openmetrics-text')).text)
    const classic = parseClassic((await metrics.page(undefined)).text)
    const names = [...classic.values()].map(({ name, type }) =>
      type === 'counter' ? name.replace(/_total$/, '') : name,
    )
    // A garbage collection in between may add the family of collections.
    const gc = 'nodejs_gc_duration_seconds'
    expect(names.filter((name) => name !== gc)).toEqual([...openMetrics.keys()].filter((name) => name !== gc))
    const name = 'derp_send_queue_delay_seconds'
    const values = (parsed: typeof classic): number[] => [...(parsed.get(name)?.samples.values() ?? [])]
    expect(values(classic)).toEqual(values(openMetrics))
    expect(values(classic).at(-1)).toBe(3)
  })

  it.skipIf(!hasPromtool)('satisfy promtool', async () => {
    const { text } = await metrics.page(undefined)
    const { stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
    // The metrics of prom-client are not ours to correct.
    const complaints = (stdout + stderr).split('\n').filter((line) => !/^(?:nodejs_|process_|$)/.test(line))
    expect(complaints).toEqual([])
  })
})

describe('the format follows the Accept header', () => {
  const openMetricsFirst =
    'application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,' +
    'text/plain;version=0.0.4;q=0.3,*/*;q=0.2'
  it.each([
    [undefined, 'classic'],
    ['*/*', 'classic'],
    ['text/html,application/xhtml+xml,*/*;q=0.8', 'classic'],
    [openMetricsFirst, 'openMetrics'],
    ['application/openmetrics-text', 'openMetrics'],
    ['Application/OpenMetrics-Text; version=1.0.0; charset=utf-8', 'openMetrics'],
    ['application/openmetrics-text;version=0.0.1,text/plain;q=0.1', 'classic'],
    ['application/openmetrics-text;q=0', 'classic'],
    ['application/openmetrics-text;q=nonsense', 'classic'],
    ['text/plain;version=0.0.4,application/openmetrics-text;q=0.9', 'classic'],
  ])('%s → %s', (accept, format) => {
    expect(acceptedFormat(accept)).toBe(format)
  })
})
