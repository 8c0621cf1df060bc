import { describe, expect, it } from 'vitest'
import {
  Counter,
  Counters,
  GAUGES,
  HISTOGRAM_BOUNDS,
  type CounterSnapshot,
  type HistogramName,
  type PlainCounter,
} from '#relay/counters.ts'
import { DROP_REASON_LABELS, DropReason, PACKET_KIND_LABELS, PacketKind } from '#relay/drop-reason.ts'
import { END_REASONS, EndReason } from '#relay/end-reason.ts'

const names = Object.keys(Counter) as PlainCounter[]

/** Gives each counter a different value. */
function fillAll(counters: Counters): void {
  names.forEach((name, i) => counters.add(Counter[name], 1_000 + i))
  for (const reason of Object.values(DropReason)) {
    for (const kind of Object.values(PacketKind))
      counters.countDrop(reason, kind, 100 * reason + 10 * kind + 7)
  }
  END_REASONS.forEach((reason, i) => {
    for (let n = 0; n <= i; n++) counters.countEnd(reason)
  })
}

it('no two counters share an index', () => {
  const counters = new Counters()
  fillAll(counters)
  names.forEach((name, i) => expect(counters.get(name)).toBe(1_000 + i))
  for (const reason of Object.values(DropReason)) {
    for (const kind of Object.values(PacketKind)) {
      expect(counters.droppedPackets(reason, kind)).toBe(1)
      expect(counters.droppedBytes(reason, kind)).toBe(100 * reason + 10 * kind + 7)
    }
  }
  END_REASONS.forEach((reason, i) => expect(counters.ended(reason)).toBe(i + 1))
  for (const name of ['queueDelay', 'login', 'admission'] as const) {
    expect(new Set(counters.histogram(name).counts)).toEqual(new Set([0]))
  }
})

it('a value on a bound is in the bucket of that bound, one beyond all bounds in the last', () => {
  for (const name of ['queueDelay', 'login', 'admission'] as const) {
    const counters = new Counters()
    const bounds = HISTOGRAM_BOUNDS[name]
    for (const bound of bounds) counters.observe(name, bound)
    counters.observe(name, 1_000)
    const { counts, sum } = counters.histogram(name)
    expect(counts).toEqual(Array.from({ length: bounds.length + 1 }, () => 1))
    expect(sum).toBeCloseTo(
      bounds.reduce((total, bound) => total + bound, 1_000),
      6,
    )
  }
})

it('any thread that has the memory sees the numbers', () => {
  const memory = Counters.memory()
  new Counters(memory).add(Counter.loginsTotal, 3)
  expect(new Counters(memory).get('loginsTotal')).toBe(3)
})

it('several threads are summed into one, from zero each time', () => {
  const threads = [new Counters(), new Counters(), new Counters()]
  for (const thread of threads) fillAll(thread)
  const sum = new Counters().sumOf(threads).sumOf(threads)
  names.forEach((name, i) => expect(sum.get(name)).toBe(3 * (1_000 + i)))
  expect(sum.droppedPackets(DropReason.queueAge, PacketKind.disco)).toBe(3)
  END_REASONS.forEach((reason, i) => expect(sum.ended(reason)).toBe(3 * (i + 1)))
})

it('every drop reason and kind has a label of its own', () => {
  expect(DROP_REASON_LABELS.length).toBe(Object.keys(DropReason).length)
  expect(new Set(DROP_REASON_LABELS).size).toBe(DROP_REASON_LABELS.length)
  expect(DROP_REASON_LABELS.slice(0, 4)).toEqual([
    'unknown_dest',
    'unknown_dest_on_fwd',
    'gone_disconnected',
    'queue_head',
  ])
  expect(PACKET_KIND_LABELS[PacketKind.disco]).toBe('disco')
})

it('of a thread that has died all gauges are zero, its sessions count as ended and its queued packets as dropped', () => {
  const counters = new Counters()
  for (const name of names) counters.add(Counter[name], 10)
  counters.add(Counter.queuedBytes, 10 * (37 + 100) - 10)
  const totals = names.filter((name) => !(GAUGES as readonly PlainCounter[]).includes(name))
  counters.endOfThread()
  for (const name of GAUGES) expect(counters.get(name), name).toBe(0)
  for (const name of totals) expect(counters.get(name), name).toBe(10)
  expect(counters.ended(EndReason.threadLost)).toBe(10)
  expect(counters.droppedPackets(DropReason.goneDisconnected, PacketKind.data)).toBe(10)
  expect(counters.droppedBytes(DropReason.goneDisconnected, PacketKind.data)).toBe(1_000)
})

describe('between two runs of a relay', () => {
  /** Every number, as another run is told of it. */
  const filled = (): Counters => {
    const counters = new Counters()
    fillAll(counters)
    for (const name of Object.keys(HISTOGRAM_BOUNDS) as HistogramName[]) {
      for (const bound of HISTOGRAM_BOUNDS[name]) counters.observe(name, bound)
      counters.observe(name, 1_000)
    }
    return counters
  }

  it('every number goes over: a run that has counted nothing shows what the earlier one showed', () => {
    const snapshot = JSON.parse(JSON.stringify(filled().snapshot())) as CounterSnapshot
    const restored = new Counters()
    restored.restore(snapshot)
    expect(restored.snapshot()).toEqual(filled().snapshot())
    names.forEach((name, i) => expect(restored.get(name)).toBe(1_000 + i))
    for (const name of Object.keys(HISTOGRAM_BOUNDS) as HistogramName[])
      expect(restored.histogram(name)).toEqual(filled().histogram(name))
  })

  it('each number has a name of its own', () => {
    const values = new Float64Array(Counters.memory().byteLength / 8)
    expect(Object.keys(filled().snapshot()).length).toBe(values.length)
  })

  it('a snapshot replaces the one before, and names that it does not have are zero', () => {
    const counters = filled()
    counters.restore({ loginsTotal: 3 })
    expect(counters.snapshot()).toEqual({ loginsTotal: 3 })
  })

  it('names of another version are passed over, and nothing else is confused by them', () => {
    const counters = new Counters()
    const strange = {
      'login le': 1,
      'nothing le 5': 1,
      'login le 5 6': 1,
      constructor: 1,
      'dropped new data': 9,
    }
    counters.restore({ ...strange, loginsTotal: 3, sweeps: -4, toString: 7 })
    expect(counters.snapshot()).toEqual({ loginsTotal: 3 })
  })

  it('a bucket of another version counts in the next larger one', () => {
    const counters = new Counters()
    counters.restore({
      'login le 0.3': 5,
      'login le 0.5': 1,
      'login le 60': 2,
      'login more': 1,
      'login sum': 100,
    })
    const { counts, sum } = counters.histogram('login')
    expect(counts[HISTOGRAM_BOUNDS.login.indexOf(0.5)]).toBe(6)
    expect(counts.at(-1)).toBe(3)
    expect(counts.reduce((total, one) => total + one, 0)).toBe(9)
    expect(sum).toBe(100)
  })

  it('gauges of a run that has ended are gone, and its counters stay', () => {
    const counters = new Counters()
    counters.restore({ connectionsCurrent: 5, queuedBytes: 7, loginsTotal: 3 })
    counters.clearGauges()
    expect(counters.snapshot()).toEqual({ loginsTotal: 3 })
  })
})
