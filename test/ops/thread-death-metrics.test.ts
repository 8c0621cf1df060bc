// The metrics page after the death of a relay thread. Prometheus takes a falling counter for a restart, and an unchanged
// gauge for the current state, so counters must not fall and gauges must.

import { expect, it } from 'vitest'
import type { MetricFamily } from '#ops/metric-family.ts'
import { Metrics } from '#ops/metrics.ts'
import { relayFamilies } from '#ops/relay-families.ts'
import {
  Counter,
  Counters,
  HISTOGRAM_BOUNDS,
  type HistogramName,
  type PlainCounter,
} from '#relay/counters.ts'
import { DropReason, PacketKind } from '#relay/drop-reason.ts'
import { END_REASONS } from '#relay/end-reason.ts'
import { testSources } from './sources.ts'

it('when a thread dies, no counter falls, and every gauge does', async () => {
  const [dying, other] = [new Counters(), new Counters()]
  for (const [at, name] of (Object.keys(Counter) as PlainCounter[]).entries())
    dying.add(Counter[name], 1_000 + at)
  for (const name of Object.keys(HISTOGRAM_BOUNDS) as HistogramName[]) {
    for (const bound of [0, ...HISTOGRAM_BOUNDS[name], 100]) dying.observe(name, bound)
  }
  for (const reason of Object.values(DropReason)) dying.countDrop(reason, PacketKind.disco, 10)
  for (const reason of END_REASONS) dying.countEnd(reason)
  const families = async (): Promise<MetricFamily[]> =>
    (await new Metrics(testSources({ threads: [dying, other] })).families()).filter(
      ({ name }) => !/^(?:process|nodejs)_/.test(name),
    )
  const before = await families()
  dying.endOfThread()
  const now = new Map(
    relayFamilies(new Counters().sumOf([dying, other])).map((family) => [family.name, family]),
  )
  const after = new Map((await families()).map((family) => [family.name, family]))
  for (const { name, type, samples } of before) {
    for (const [at, { value }] of samples.entries()) {
      const left = after.get(name)?.samples[at]?.value ?? Number.NaN
      if (type !== 'gauge') expect(left, name).toBeGreaterThanOrEqual(value)
      else if (now.has(name)) expect(left, name).toBe(0)
    }
  }
})
