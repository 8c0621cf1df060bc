import { expect, it } from 'vitest'
import { HOME_HERE, RoundTripBatch } from '#worker/round-trip-batch.ts'
import { ipToBytes, ipToText, IP_BYTES } from '#protocol/ip-address.ts'

function addresses({ ips }: { readonly ips: Uint8Array }): string[] {
  return Array.from({ length: ips.length / IP_BYTES }, (_, n) =>
    ipToText(ips.subarray(n * IP_BYTES, (n + 1) * IP_BYTES)),
  )
}

it('hands over what was added since the last time', () => {
  const batch = new RoundTripBatch()
  expect(batch.take()).toBe(undefined)
  batch.add(ipToBytes('192.0.2.1'), 0.01, HOME_HERE)
  batch.add(ipToBytes('2001:db8::1'), 0.02, 'derp2.example')
  const first = batch.take()
  expect(first).toMatchObject({ seconds: [0.01, 0.02], homes: [HOME_HERE, 'derp2.example'] })
  expect(first && addresses(first)).toEqual(['192.0.2.1', '2001:db8::1'])
  batch.add(ipToBytes('192.0.2.2'), 0.03, undefined)
  const second = batch.take()
  expect(second).toMatchObject({ seconds: [0.03], homes: [undefined] })
  expect(second && addresses(second)).toEqual(['192.0.2.2'])
  // What was taken does not change with what comes later.
  expect(first && addresses(first)).toEqual(['192.0.2.1', '2001:db8::1'])
})

it('is bounded', () => {
  const batch = new RoundTripBatch()
  for (let n = 0; n < 10_000; n++) batch.add(ipToBytes('192.0.2.1'), n, undefined)
  const taken = batch.take()
  expect(taken?.seconds).toHaveLength(2_000)
  expect(taken?.ips).toHaveLength(2_000 * IP_BYTES)
})
