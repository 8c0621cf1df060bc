// What is said of targets, and what is printed of it: a figure that misses must not look like one that holds.

import { expect, it } from 'vitest'
import { markdownOf } from '../../bench/markdown-report.ts'
import type { FigureResult, Row } from '../../bench/figure.ts'
import { plotsOf } from '../../bench/plots.ts'
import { newRecord, type Record } from '../../bench/run-record.ts'
import { withBounds, withOwnTarget } from '../../bench/row.ts'
import { sampleOf } from '../../bench/sample.ts'
import { ELDER, OURS, RIVAL } from '../../bench/server.ts'

function row(ours: readonly number[], rival: readonly number[], elder: readonly number[] = []): Row {
  const samples = {
    [OURS]: sampleOf(ours),
    [RIVAL]: sampleOf(rival),
    ...(elder.length === 0 ? {} : { [ELDER]: sampleOf(elder) }),
  }
  return { label: 'goodput', unit: 'Gbit/s', digits: 1, samples }
}

it('judges medians, not the best round', () => {
  expect(withBounds(row([1, 1, 9], [1, 1, 1]), { than: RIVAL, atLeast: 2 }).target?.isHeld).toBe(false)
  expect(withBounds(row([2, 2, 0], [1, 1, 1]), { than: RIVAL, atLeast: 2 }).target?.isHeld).toBe(true)
  expect(withBounds(row([1, 1, 1], [1, 1, 1]), { than: RIVAL, atMost: 0.8 }).target?.isHeld).toBe(false)
})

it('holds all bounds or does not hold', () => {
  const bounds = [
    { than: RIVAL, atLeast: 2 },
    { than: ELDER, atLeast: 20 },
  ]
  expect(withBounds(row([4], [2], [1]), ...bounds).target?.isHeld).toBe(false)
  expect(withBounds(row([40], [2], [1]), ...bounds).target?.isHeld).toBe(true)
})

it('does not pretend to know what was not measured', () => {
  expect(withBounds(row([4], [2]), { than: ELDER, atLeast: 2 }).target?.isHeld).toBeUndefined()
  expect(withBounds(row([4], [Number.NaN]), { than: RIVAL, atLeast: 2 }).target?.isHeld).toBeUndefined()
  expect(
    withOwnTarget(row([1, Number.NaN], [1]), '≤ 2', (median) => median <= 2).target?.isHeld,
  ).toBeUndefined()
})

it('takes the middle of two middle rounds', () => {
  expect(sampleOf([4, 1, 3, 2])).toMatchObject({ median: 2.5, min: 1, max: 4 })
})

function recordOf(figures: { [name: string]: FigureResult }): Record {
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
  const servers = [OURS, RIVAL].map((name) => ({ name, command: `run ${name}` }))
  const parts = {
    commit: 'c0ffee',
    machine,
    effort,
    servers,
    reference: RIVAL,
    commandLine: 'npm run bench',
    facts: {},
  }
  return { ...newRecord(parts), figures }
}

function figure(...rows: Row[]): FigureResult {
  const series = [
    {
      name: 'goodput',
      points: {
        [OURS]: [
          [1, 1],
          [2, 2],
        ] as const,
        [RIVAL]: [
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

it('prints ratios, ranges, misses and doubts', () => {
  const missed = withBounds(row([1, 2, 3], [4, 4, 4]), { than: RIVAL, atLeast: 2 })
  // What was written and read again has null where there was no number.
  const text = markdownOf(
    JSON.parse(JSON.stringify(recordOf({ goodput: figure(missed, row([1], [Number.NaN])) }))),
  )
  expect(text).toContain(
    `| goodput | Gbit/s | 2.0 (1.0–3.0) | 4.0 (4.0–4.0) | 0.50 | ≥ 2 × ${RIVAL} | **no** |`,
  )
  expect(text).toContain('| goodput | Gbit/s | 1.0 | – | – |')
  expect(text).toContain('Targets: 0 held, 1 missed.')
  expect(text).toContain('doubtful: busy')
  expect(text).toContain('A note. 3 rounds were measured again')
  expect(text).toContain('generator --pairs 10')
  expect(text).toContain('# derper-1.104.5: run derper-1.104.5')
})

it('draws what there is', () => {
  const plots = plotsOf(recordOf({ goodput: figure() }))
  expect([...plots.keys()]).toEqual(['goodput.svg'])
  const drawn = plots.get('goodput.svg') ?? ''
  expect(drawn.match(/<polyline/g)).toHaveLength(2)
  expect(drawn).not.toMatch(/NaN|Infinity|undefined/)
})
