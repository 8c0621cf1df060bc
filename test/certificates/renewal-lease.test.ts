// Relays that share a folder: one of them has the lease, whoever asks at the same moment; a dead holder's lease expires.

import { existsSync, readdirSync, utimesSync } from 'node:fs'
import { expect, it } from 'vitest'
import { RenewalLease } from '#certificates/renewal-lease.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'

const isHeld = (lease: RenewalLease | undefined): boolean => lease !== undefined

/** As if the holder had died so many minutes ago. */
function age(path: string, minutes: number): void {
  const then = new Date(Date.now() - minutes * 60_000)
  utimesSync(path, then, then)
}

it('one of many has it, and after the release the next', async () => {
  using folder = new TemporaryFolder()
  const path = folder.at('a.example+lease')
  for (let round = 0; round < 5; round++) {
    const leases = await Promise.all(Array.from({ length: 20 }, async () => await RenewalLease.take(path)))
    expect(leases.filter(isHeld)).toHaveLength(1)
    await leases.find(isHeld)?.release()
  }
  expect(readdirSync(folder.path)).toEqual([])
})

it('expires without its holder, and then one of many takes it', async () => {
  using folder = new TemporaryFolder()
  const path = folder.at('a.example+lease')
  for (let round = 0; round < 20; round++) {
    const old = await RenewalLease.take(path)
    age(path, 9)
    expect(await RenewalLease.take(path)).toBeUndefined()
    age(path, 11)
    const leases = await Promise.all(Array.from({ length: 20 }, async () => await RenewalLease.take(path)))
    expect(leases.filter(isHeld)).toHaveLength(1)
    // The one that slept has lost it, and takes nothing away from the new holder.
    expect(await old?.refresh()).toBe(false)
    await old?.release()
    expect(existsSync(path)).toBe(true)
    const lease = leases.find(isHeld)
    age(path, 9)
    expect(await lease?.refresh()).toBe(true)
    await lease?.release()
  }
  expect(readdirSync(folder.path)).toEqual([])
})
