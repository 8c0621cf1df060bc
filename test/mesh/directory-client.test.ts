// The control thread's client of the key directory, with a fake directory.

import { expect, it } from 'vitest'
import { DirectoryClient, type LocationUpdate } from '#mesh/directory-client.ts'
import type { KeyDirectory, KeyLocation } from '#mesh/key-directory.ts'
import { toHex } from '#protocol/bytes.ts'
import { alice, bob } from '../support/actor.ts'
import { sha256 } from '../vectors/hex.ts'

class FakeDirectory implements KeyDirectory {
  readonly calls: string[] = []
  readonly watchers = new Map<string, (relay: string | undefined) => void>()
  readonly lookups: ((location: KeyLocation) => void)[] = []

  announce(key: Uint8Array): void {
    this.calls.push(`announce ${toHex(key)}`)
  }

  withdraw(key: Uint8Array): void {
    this.calls.push(`withdraw ${toHex(key)}`)
  }

  locate(_key: Uint8Array, found: (location: KeyLocation) => void): void {
    this.lookups.push(found)
  }

  watch(key: Uint8Array, moved: (relay: string | undefined) => void): () => void {
    this.watchers.set(toHex(key), moved)
    return () => this.watchers.delete(toHex(key))
  }
}

const atEast = { kind: 'at', relay: 'east' } as const

function setUp(): {
  client: DirectoryClient
  directory: FakeDirectory
  updates: [number | 'all', LocationUpdate][]
} {
  const directory = new FakeDirectory()
  const updates: [number | 'all', LocationUpdate][] = []
  const client = new DirectoryClient({
    directory,
    send: (thread, update) => updates.push([thread, update]),
    broadcast: (update) => updates.push(['all', update]),
  })
  return { client, directory, updates }
}

it('announces a key once for all threads, and withdraws it with the last one, also when that has died', () => {
  const { client, directory } = setUp()
  const change = (thread: number, isHome: boolean): void =>
    client.homesChanged(thread, [{ key: alice.key, isHome }])
  change(0, true)
  change(1, true)
  change(1, true)
  change(2, false)
  client.threadEnded(0)
  expect(directory.calls).toEqual([`announce ${toHex(alice.key)}`])
  change(1, false)
  change(1, false)
  expect(directory.calls.slice(1)).toEqual([`withdraw ${toHex(alice.key)}`])
  change(0, true)
  client.threadEnded(0)
  expect(directory.calls.slice(2)).toEqual([`announce ${toHex(alice.key)}`, `withdraw ${toHex(alice.key)}`])
})

it('answers the thread that asked, and tells all threads when a located key has moved', () => {
  const { client, directory, updates } = setUp()
  client.locate(1, bob.key)
  directory.lookups[0]?.(atEast)
  expect(updates).toEqual([[1, { key: bob.key, location: atEast }]])
  directory.watchers.get(toHex(bob.key))?.('west')
  expect(updates[1]).toEqual(['all', { key: bob.key, location: { kind: 'at', relay: 'west' } }])
  // Another relay may have the key as well.
  directory.watchers.get(toHex(bob.key))?.(undefined)
  directory.lookups[1]?.({ kind: 'nowhere' })
  expect(updates[2]).toEqual(['all', { key: bob.key, location: { kind: 'nowhere' } }])
})

it('watches only located keys, each once', () => {
  const { client, directory } = setUp()
  for (const location of [{ kind: 'nowhere' }, { kind: 'unknown' }, atEast, atEast] as const) {
    client.locate(0, bob.key)
    directory.lookups.at(-1)?.(location)
  }
  expect(directory.watchers.size).toBe(1)
})

it('watches the latest twenty thousand located keys', () => {
  const { client, directory } = setUp()
  const keys = Array.from({ length: 20_050 }, (_, i) => sha256(`key ${i}`))
  for (const key of keys) {
    client.locate(0, key)
    directory.lookups.pop()?.(atEast)
  }
  expect(directory.watchers.size).toBe(20_000)
  expect([49, 50].map((i) => directory.watchers.has(toHex(keys[i] as Uint8Array)))).toEqual([false, true])
})

it('reports nothing after it is closed, not even the answers to lookups under way', () => {
  const { client, directory, updates } = setUp()
  client.locate(0, alice.key)
  directory.lookups[0]?.(atEast)
  client.locate(0, bob.key)
  directory.watchers.get(toHex(alice.key))?.(undefined)
  client.close()
  directory.lookups[1]?.(atEast)
  directory.lookups[2]?.({ kind: 'nowhere' })
  expect([updates.length, directory.watchers.size]).toEqual([1, 0])
})
