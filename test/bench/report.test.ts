// Rows with targets, the Markdown report and the plots: a target that was missed has to be visible.

import { expect, it } from 'vitest'
import { markdownReport } from '../../bench/markdown-report.ts'
import type { FigureResult, Row } from '../../bench/figure.ts'
import { plotsOf } from '../../bench/plots.ts'
import { newRunRecord, type RunRecord } from '../../bench/run-record.ts'
import { withBounds, withOwnTarget } from '../../bench/row.ts'
import { sampleOf } from '../../bench/sample.ts'
import { OLD_DERPER, DERPFLEET, DERPER } from '../../bench/server.ts'

function row(ours: readonly number[], derper: readonly number[], oldDerper: readonly number[] = []): Row {
  const samples = {
    [DERPFLEET]: sampleOf(ours),
    [DERPER]: sampleOf(derper),
    ...(oldDerper.length === 0 ? {} : { [OLD_DERPER]: sampleOf(oldDerper) }),
  }
  return { label: 'goodput', unit: 'Gbit/s', digits: 1, samples }
}

it('compares medians with the target, not the best rounds', () => {
  expect(withBounds(row([1, 1, 9], [1, 1, 1]), { server: DERPER, atLeast: 2 }).target?.isHeld).toBe(false)
  expect(withBounds(row([2, 2, 0], [1, 1, 1]), { server: DERPER, atLeast: 2 }).target?.isHeld).toBe(true)
  expect(withBounds(row([1, 1, 1], [1, 1, 1]), { server: DERPER, atMost: 0.8 }).target?.isHeld).toBe(false)
})

it('reaches a target only if all bounds hold', () => {
  const bounds = [
    { server: DERPER, atLeast: 2 },
    { server: OLD_DERPER, atLeast: 20 },
  ]
  expect(withBounds(row([4], [2], [1]), ...bounds).target?.isHeld).toBe(false)
  expect(withBounds(row([40], [2], [1]), ...bounds).target?.isHeld).toBe(true)
})

it('leaves the target open if a number is missing', () => {
  expect(withBounds(row([4], [2]), { server: OLD_DERPER, atLeast: 2 }).target?.isHeld).toBeUndefined()
  expect(withBounds(row([4], [Number.NaN]), { server: DERPER, atLeast: 2 }).target?.isHeld).toBeUndefined()
  expect(
    withOwnTarget(row([1, Number.NaN], [1]), '≤ 2', (median) => median <= 2).target?.isHeld,
  ).toBeUndefined()
})

it('takes the mean of the two middle rounds as median', () => {
  expect(sampleOf([4, 1, 3, 2])).toMatchObject({ median: 2.5, min: 1, max: 4 })
})

function recordOf(figures: { [name: string]: FigureResult }): RunRecord {
  const machine = {
    cpu: 'a processor',
    cpuCount: 2,
    memoryGb: 8,
    kernel: 'Linux',
    node: 'v22',
    openssl: '3',
    tcp: {},
  }
  const effort = {
    isQuick: false,
    rounds: 3,
    seconds: 4,
    warmSeconds: 1,
    idleConnections: 10,
    quietSeconds: 1,
  }
  const servers = [DERPFLEET, DERPER].map((name) => ({ name, command: `run ${name}` }))
  const parts = {
    commit: 'c0ffee',
    machine,
    effort,
    servers,
    reference: DERPER,
    commandLine: 'npm run bench',
    facts: {},
  }
  return { ...newRunRecord(parts), figures }
}

function figure(...rows: Row[]): FigureResult {
  const series = [
    {
      name: 'goodput',
      points: {
        [DERPFLEET]: [
          [1, 1],
          [2, 2],
        ] as const,
        [DERPER]: [
          [1, 1],
          [2, 0.5],
        ] as const,
      },
    },
  ]
  return {
    title: 'Goodput',
    rows,
    notes: ['A note.'],
    commands: ['generator --pairs 10'],
    marks: ['busy'],
    repeats: 3,
    series,
    seconds: 1,
  }
}

it('prints ratios, ranges, missed targets and doubts', () => {
  const missed = withBounds(row([1, 2, 3], [4, 4, 4]), { server: DERPER, atLeast: 2 })
  // A record that was written and read has null instead of NaN.
  const text = markdownReport(
    JSON.parse(JSON.stringify(recordOf({ goodput: figure(missed, row([1], [Number.NaN])) }))),
  )
  expect(text).toContain(
    `| goodput | Gbit/s | 2.0 (1.0–3.0) | 4.0 (4.0–4.0) | 0.50 | ≥ 2 × ${DERPER} | **no** |`,
  )
  expect(text).toContain('| goodput | Gbit/s | 1.0 | – | – |')
  expect(text).toContain('Targets: 0 held, 1 missed.')
  expect(text).toContain('doubtful: busy')
  expect(text).toContain('A note. 3 rounds were repeated')
  expect(text).toContain('generator --pairs 10')
  expect(text).toContain('# derper-1.104.5: run derper-1.104.5')
})

it('draws a plot per figure of the record', () => {
  const plots = plotsOf(recordOf({ goodput: figure() }))
  expect([...plots.keys()]).toEqual(['goodput.svg'])
  const drawn = plots.get('goodput.svg') ?? ''
  expect(drawn.match(/<polyline/g)).toHaveLength(2)
  expect(drawn).not.toMatch(/NaN|Infinity|undefined/)
})
