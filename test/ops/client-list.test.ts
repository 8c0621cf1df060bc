// The list of clients: orders, the filter by key, limits, rates, and what it says to a wrong question.

import { expect, it } from 'vitest'
import { clientList, readClientQuery, type ClientQuery } from '#ops/client-list.ts'
import type { ShownForms } from '#config/settings.ts'
import type { ClientSample } from '#ops/client-snapshot.ts'
import { clientsText } from '#ops/client-text.ts'
import { publicKeyText, shortKey } from '#protocol/node-key.ts'
import { alice, bob, cathy, type Actor } from '../support/actor.ts'
import { tableOf, type Row } from '../support/client-tables.ts'

const SECOND_MS = 1_000

/** Alice has sent much ten minutes ago, bob sends now, cathy has just come. */
function sample(): ClientSample {
  const rows = (atMs: number, packets: number): readonly Row[] => [
    { who: alice, atMs, sinceMs: -600 * SECOND_MS, receivedPackets: 9_000, receivedBytes: 9_000_000 },
    {
      who: bob,
      atMs,
      sinceMs: -60 * SECOND_MS,
      receivedPackets: packets,
      receivedBytes: 1_000 * packets,
      sentPackets: 2 * packets,
      sentBytes: 200 * packets,
      queuedPackets: 2,
      queuedBytes: 70,
      dropped: 5,
      tenant: 'blue',
    },
  ]
  const late: Row = { who: cathy, number: 9, atMs: 2_000, sinceMs: 1_500, sentPackets: 30, sentBytes: 300 }
  return { before: tableOf(rows(0, 100)), now: tableOf([...rows(2_000, 300), late]) }
}

function names(more: Partial<ClientQuery>, of = sample()): readonly string[] {
  const query: ClientQuery = { sort: 'bytes', limit: 50, key: undefined, hasFullKeys: true, ...more }
  const all = [alice, bob, cathy].map((who): [string, Actor] => [publicKeyText(who.key), who])
  return clientList(of, query, true).clients.map(({ key }) => new Map(all).get(key)?.name ?? key)
}

it('sorts by what clients do now, and not by what they have done', () => {
  expect(names({})).toEqual(['bob', 'cathy', 'alice'])
  expect(names({ sort: 'packets' })).toEqual(['bob', 'cathy', 'alice'])
  expect(names({ sort: 'since' })).toEqual(['alice', 'bob', 'cathy'])
  expect(names({ sort: 'drops', limit: 1 })).toEqual(['bob'])
  expect(names({ sort: 'queue', limit: 1 })).toEqual(['bob'])
})

it('has rates over the time between two looks, and of a newcomer over a second at least', () => {
  const query = { sort: 'bytes', limit: 2, key: undefined, hasFullKeys: false } as const
  const { clients, ...rest } = clientList(sample(), query, true)
  expect(rest).toMatchObject({ connections: 3, keys: 3, matching: 3, duplicateKeys: 0, isComplete: true })
  const [first, second] = clients
  expect(first).toMatchObject({
    key: shortKey(bob.key),
    received: { packets: 300, packetsPerSecond: 100, bytesPerSecond: 100_000 },
    sent: { packets: 600, packetsPerSecond: 200, bytesPerSecond: 20_000 },
    dropped: 5,
    tenant: 'blue',
    queuedPackets: 2,
    queuedBytes: 70,
  })
  expect(second).toMatchObject({ sent: { packetsPerSecond: 30, bytesPerSecond: 300 } })
})

it('takes a connection of a thread that was restarted for a new one, although it has the number of another', () => {
  const before = tableOf([{ who: alice, number: 1, atMs: 0, sinceMs: -9_000, receivedBytes: 10_000 }])
  const now = tableOf([{ who: bob, number: 1, atMs: 2_000, sinceMs: 1_500, receivedBytes: 100 }])
  const query = { sort: 'bytes', limit: 50, key: undefined, hasFullKeys: false } as const
  expect(clientList({ now, before }, query, true).clients[0]?.received.bytesPerSecond).toBe(100)
})

it('finds a key by what it begins with, with or without its prefix, and by its short form', () => {
  const text = publicKeyText(bob.key)
  for (const key of [text, text.slice(0, 14), text.slice(8, 14).toUpperCase(), shortKey(bob.key)])
    expect(names({ key })).toEqual(['bob'])
  expect(names({ key: 'nodekey:0123456789' })).toEqual([])
})

it('says what is wrong with a question, and does not repeat it', () => {
  const evil = '\u{1b}[2J'
  for (const texts of [{ sort: evil }, { limit: evil }, { key: evil }, { limit: '0' }, { limit: '10001' }]) {
    const problem = readClientQuery({ ...texts, hasFullKeys: false })
    expect(problem).toMatch(/^(sort|limit|key): /)
    expect(problem).not.toContain('\u{1b}')
  }
  expect(readClientQuery({ hasFullKeys: false })).toEqual({
    sort: 'bytes',
    limit: 50,
    key: undefined,
    hasFullKeys: false,
  })
})

it('a connection that a thread has told of twice is there once; a thread that is silent is said to be missing', () => {
  const row = { who: alice, atMs: 1_000, sinceMs: 0 }
  const twice = tableOf([row, { ...row, receivedPackets: 1 }], { isComplete: false })
  expect(twice.count).toBe(1)
  const query = { sort: 'bytes', limit: 50, key: undefined, hasFullKeys: false } as const
  const list = clientList({ now: twice, before: tableOf([]) }, query, false)
  expect(list).toMatchObject({ connections: 1, isComplete: false, isTls: false })
  expect(clientsText(list)).toContain('some are missing: a thread does not answer')
})

it('shows keys and addresses in the forms that the operator has chosen, also to those who ask for whole keys', () => {
  const row: Row = { who: alice, atMs: 1_000, sinceMs: 0, ip: '203.0.113.7' }
  const shownAs = (keys: ShownForms['keys'], addresses: ShownForms['addresses']): readonly string[] => {
    const now = tableOf([row], { shown: { keys, addresses } })
    const query = { sort: 'bytes', limit: 50, key: publicKeyText(alice.key), hasFullKeys: true } as const
    const [client] = clientList({ now, before: now }, query, true).clients
    return [client?.key ?? 'missing', client?.remote ?? 'missing']
  }
  expect(shownAs('short', 'full')).toEqual([publicKeyText(alice.key), '203.0.113.7:40000'])
  expect(shownAs('hashed', 'short')).toEqual([expect.stringMatching(/^#[\da-f]{12}$/), '203.0.113.0/24'])
  expect(shownAs('none', 'none')).toEqual(['', ''])
})

it('prints a row for each, whole columns, and how many more there are', () => {
  const query = { sort: 'bytes', limit: 2, key: undefined, hasFullKeys: false } as const
  const text = clientsText(clientList(sample(), query, true))
  const lines = text.split('\n')
  expect(lines[0]).toMatch(/^3 connections of 3 keys {2}0 at home here {2}rates over 2\.0 s {2}00:00:02 UTC$/)
  expect(lines[2]).toMatch(
    /^KEY +SINCE +WAY +HOME +IN +OUT +PKT\/S IN +PKT\/S OUT +QUEUE +DROPS +SENDERS +TENANT +REMOTE/,
  )
  expect(lines[3]).toMatch(
    /^\[.{5}\] +62 s +tls\/derp +800 kbit\/s +160 kbit\/s +100 +200 +2 \(70 B\) +5 +0 +blue +/,
  )
  expect(lines[5]).toBe('1 more')
})
