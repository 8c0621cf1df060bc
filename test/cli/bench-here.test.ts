// What a machine can carry, from numbers. With BENCH_HERE_LONG=1 also the program measuring this one, which takes half a minute.

import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { expect, it } from 'vitest'
import { capacityOf, capacityText, type Measured } from '#cli/capacity.ts'
import { derpfleetProcess } from './program.ts'

const HOST = {
  descriptorsMax: 20_000,
  descriptorsUsed: 30,
  somaxconn: 4_096,
  backlog: 8_192,
  notsentLowatBytes: 2 ** 31,
  conntrackCount: undefined,
  conntrackMax: undefined,
}
const SMALL: Measured = {
  cores: 2,
  memoryBytes: 1e9,
  baseBytes: 100e6,
  bytesPerClient: 30e3,
  cpuSecondsPerLogin: 0.001,
  packetsPerThread: 200_000,
  host: HOST,
}

it('keeps a reserve, and says which limit is the first', () => {
  const small = capacityOf(SMALL)
  expect(small).toMatchObject({ clients: 20_000, clientsLimit: 'memory', loginsPerSecond: 1_400 })
  expect(small.packetsPerSecond).toBe(220_000)
  expect(small.settings.threads).toBe(2)
  expect(small.settings.descriptors).toBeGreaterThan(21_000)
  const large = capacityOf({ ...SMALL, memoryBytes: 64e9 })
  expect(large).toMatchObject({ clients: 84_000, clientsLimit: 'logins after a restart' })
})

it('has no clients where the memory does not suffice for a relay', () => {
  expect(capacityOf({ ...SMALL, memoryBytes: 100e6 }).clients).toBe(0)
})

it('names only what must change', () => {
  expect(capacityOf(SMALL).sysctls).toEqual({ 'net.core.somaxconn': 8_192 })
  const host = { ...HOST, somaxconn: 8_192, conntrackMax: 16_384 }
  expect(capacityOf({ ...SMALL, host }).sysctls).toEqual({ 'net.netfilter.nf_conntrack_max': 40_000 })
  const text = capacityText(SMALL, capacityOf(SMALL))
  expect(text).toContain('now 20,000, which is too few')
  expect(text).toContain('net.core.somaxconn=8192')
})

it.runIf(process.env['BENCH_HERE_LONG'])(
  'measures the machine and leaves nothing behind',
  async () => {
    const foldersBefore = capacityFolders()
    const { code, stdout, stderr } = await derpfleetProcess(['bench-here', '-quick', '-beside', '-json'])
    expect([code, stderr]).toEqual([0, ''])
    const { measured, capacity } = JSON.parse(stdout) as { measured: Measured; capacity: { clients: number } }
    expect(measured.cpuSecondsPerLogin).toBeGreaterThan(0)
    expect(measured.bytesPerClient).toBeGreaterThan(1_000)
    expect(measured.packetsPerThread).toBeGreaterThan(1_000)
    expect(capacity.clients).toBeGreaterThan(0)
    expect(capacityFolders()).toEqual(foldersBefore)
  },
  180_000,
)

function capacityFolders(): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith('derpfleet-capacity-'))
}
