import { expect, it } from 'vitest'
import { Throughput } from '#ops/throughput.ts'

/** A relay that carries `rate(second)` packets of a thousand bytes in each second. */
function carry(throughput: Throughput, seconds: number, rate: (second: number) => number): void {
  let packets = 0
  for (let second = 0; second < seconds; second++) {
    throughput.look(second * 1_000, { packets, bytes: packets * 1_000 })
    packets += rate(second)
  }
}

it('is zero before there is a load', () => {
  const throughput = new Throughput()
  throughput.look(0, { packets: 500, bytes: 500_000 })
  expect(throughput.read()).toEqual({
    packetsPerSecond: 0,
    bytesPerSecond: 0,
    peakPacketsPerSecond: 0,
    peakBytesPerSecond: 0,
  })
})

it('is the mean of ten seconds, also when looks are late', () => {
  const throughput = new Throughput()
  carry(throughput, 30, (second) => (second % 2 === 0 ? 0 : 2_000))
  expect(throughput.read()).toMatchObject({ packetsPerSecond: 1_000, bytesPerSecond: 1_000_000 })
  const late = new Throughput()
  late.look(0, { packets: 0, bytes: 0 })
  late.look(4_000, { packets: 400, bytes: 400 })
  expect(late.read().packetsPerSecond).toBe(100)
})

it('remembers its peak for an hour', () => {
  const throughput = new Throughput()
  const rate = (second: number): number => (second >= 60 && second < 80 ? 5_000 : 100)
  carry(throughput, 3_000, rate)
  expect(throughput.read()).toMatchObject({ packetsPerSecond: 100, peakPacketsPerSecond: 5_000 })
  const later = new Throughput()
  carry(later, 3_800, rate)
  expect(later.read()).toMatchObject({ packetsPerSecond: 100, peakPacketsPerSecond: 100 })
})
