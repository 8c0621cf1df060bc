// The control thread's counter at the key directory, with a directory that a test plays.

import { expect, it } from 'vitest'
import { DirectoryClient, type LocationUpdate } from '#mesh/directory-client.ts'
import type { KeyDirectory, KeyLocation } from '#mesh/key-directory.ts'
import { toHex } from '#protocol/bytes.ts'
import { alice, bob } from '../support/actor.ts'
import { sha256 } from '../vectors/hex.ts'

class PlayedDirectory implements KeyDirectory {
  readonly said: string[] = []
  readonly watchers = new Map<string, (relay: string | undefined) => void>()
  readonly questions: ((where: KeyLocation) => void)[] = []

  announce(key: Uint8Array): void {
    this.said.push(`announce ${toHex(key)}`)
  }

  withdraw(key: Uint8Array): void {
    this.said.push(`withdraw ${toHex(key)}`)
  }

  locate(_key: Uint8Array, found: (where: KeyLocation) => void): void {
    this.questions.push(found)
  }

  watch(key: Uint8Array, moved: (relay: string | undefined) => void): () => void {
    this.watchers.set(toHex(key), moved)
    return () => this.watchers.delete(toHex(key))
  }
}

const atEast = { kind: 'at', relay: 'east' } as const

function play(): {
  admissionService: DirectoryClient
  directory: PlayedDirectory
  told: [number | 'all', LocationUpdate][]
} {
  const directory = new PlayedDirectory()
  const told: [number | 'all', LocationUpdate][] = []
  const admissionService = new DirectoryClient({
    directory,
    tell: (thread, located) => told.push([thread, located]),
    tellAll: (located) => told.push(['all', located]),
  })
  return { admissionService, directory, told }
}

it('announces a key once, however many threads have it, and withdraws it with the last, dead or alive', () => {
  const { admissionService, directory } = play()
  const note = (thread: number, isHome: boolean): void =>
    admissionService.note(thread, [{ key: alice.key, isHome }])
  note(0, true)
  note(1, true)
  note(1, true)
  note(2, false)
  admissionService.threadEnded(0)
  expect(directory.said).toEqual([`announce ${toHex(alice.key)}`])
  note(1, false)
  note(1, false)
  expect(directory.said.slice(1)).toEqual([`withdraw ${toHex(alice.key)}`])
  note(0, true)
  admissionService.threadEnded(0)
  expect(directory.said.slice(2)).toEqual([`announce ${toHex(alice.key)}`, `withdraw ${toHex(alice.key)}`])
})

it('tells the thread that asked, and all of them when a key that was found has moved', () => {
  const { admissionService, directory, told } = play()
  admissionService.locate(1, bob.key)
  directory.questions[0]?.(atEast)
  expect(told).toEqual([[1, { key: bob.key, where: atEast }]])
  directory.watchers.get(toHex(bob.key))?.('west')
  expect(told[1]).toEqual(['all', { key: bob.key, where: { kind: 'at', relay: 'west' } }])
  // Who has it no more may not have been the only one.
  directory.watchers.get(toHex(bob.key))?.(undefined)
  directory.questions[1]?.({ kind: 'nowhere' })
  expect(told[2]).toEqual(['all', { key: bob.key, where: { kind: 'nowhere' } }])
})

it('watches no key that was not found, and none twice', () => {
  const { admissionService, directory } = play()
  for (const where of [{ kind: 'nowhere' }, { kind: 'unknown' }, atEast, atEast] as const) {
    admissionService.locate(0, bob.key)
    directory.questions.at(-1)?.(where)
  }
  expect(directory.watchers.size).toBe(1)
})

it('watches the last twenty thousand', () => {
  const { admissionService, directory } = play()
  const keys = Array.from({ length: 20_050 }, (_, i) => sha256(`key ${i}`))
  for (const key of keys) {
    admissionService.locate(0, key)
    directory.questions.pop()?.(atEast)
  }
  expect(directory.watchers.size).toBe(20_000)
  expect([49, 50].map((i) => directory.watchers.has(toHex(keys[i] as Uint8Array)))).toEqual([false, true])
})

it('is silent when it is closed, also about an answer that was under way', () => {
  const { admissionService, directory, told } = play()
  admissionService.locate(0, alice.key)
  directory.questions[0]?.(atEast)
  admissionService.locate(0, bob.key)
  directory.watchers.get(toHex(alice.key))?.(undefined)
  admissionService.close()
  directory.questions[1]?.(atEast)
  directory.questions[2]?.({ kind: 'nowhere' })
  expect([told.length, directory.watchers.size]).toEqual([1, 0])
})
