import { expect, it } from 'vitest'
import { StunSample } from '#worker/stun-sample.ts'
import { ipToBytes, IP_BYTES } from '#protocol/ip-address.ts'

it('hands over every address of a few requests, once', () => {
  const sample = new StunSample()
  expect(sample.take()).toBe(undefined)
  sample.add(ipToBytes('192.0.2.1'))
  sample.add(ipToBytes('2001:db8::1'))
  const taken = sample.take()
  expect(taken?.requests).toBe(2)
  expect(taken?.ips).toEqual(new Uint8Array([...ipToBytes('192.0.2.1'), ...ipToBytes('2001:db8::1')]))
  expect(sample.take()).toBe(undefined)
})

it('is a fair sample of a flood', () => {
  let seed = 1
  const sample = new StunSample(() => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647)
  const [early, late] = [ipToBytes('192.0.2.1'), ipToBytes('192.0.2.2')]
  for (let n = 0; n < 20_000; n++) sample.add(n < 15_000 ? early : late)
  const { requests, ips } = sample.take() ?? { requests: 0, ips: new Uint8Array(0) }
  expect(requests).toBe(20_000)
  expect(ips.length).toBe(512 * IP_BYTES)
  const lateCount = Array.from({ length: 512 }, (_, n) => ips[n * IP_BYTES + 15]).filter(
    (byte) => byte === 2,
  ).length
  // A quarter, to within four standard deviations.
  expect(Math.abs(lateCount - 128)).toBeLessThan(40)
})
