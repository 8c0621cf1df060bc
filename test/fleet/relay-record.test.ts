// What is kept of one relay when somebody repeats its messages over the directory, and when another takes its place. The rest of
// the order of messages is fleet-state.test.ts.

import { beforeEach, describe, expect, it } from 'vitest'
import { FleetState, type LinkEvidence, type TakeResult } from '#fleet/fleet-state.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { keyOf, messageOf, stateOf, Tellers } from '../support/relay-states.ts'

const NODES = ['900a', '900b', '901a']
const ENDED = { state: 'ended', failing: [] } as const

let clock: FakeClock
let fleet: FleetState
let tellers: Tellers

beforeEach(() => {
  clock = new FakeClock()
  fleet = new FleetState({ now: clock.now, ownKey: keyOf('900a') })
  listAll()
  fleet.takeOwn(stateOf('900a'))
  tellers = new Tellers(fleet)
})

function listAll(): void {
  fleet.setRelays(NODES.map((node) => ({ name: `${node}.lab`, nodes: [node], isOwn: node === '900a' })))
}

const tell: Tellers['tell'] = (...message) => tellers.tell(...message)

function link(changes: Partial<LinkEvidence> = {}): LinkEvidence {
  return { name: '900b.lab', isUp: true, key: keyOf('900b'), instance: '900b 1', ...changes }
}

describe('a message that is repeated over the directory', () => {
  const source = { key: keyOf('900b'), carrier: 'directory' } as const

  it('does not keep out what the relay tells over its link, however often it comes', () => {
    tell('900b')
    const repeated = messageOf('900b', { sequence: tellers.sequence })
    for (let second = 1; second <= 60; second++) {
      clock.advance(1_000)
      for (let at = 0; at < 30; at++) fleet.take(repeated, source)
      if (second % 5 === 0) expect(tell('900b')).toBe('taken')
    }
    expect(fleet.stateOf('900b')).toBe('up')
  })

  it('and is of an earlier run, does not end the run that goes on', () => {
    tell('900b', {}, 'directory')
    const old = messageOf('900b', { instance: '900b 0', sequence: 7, health: ENDED })
    const repeat = (): TakeResult => fleet.take(old, source).result
    const next = (): TakeResult => {
      clock.advance(5_000)
      return tell('900b', {}, 'directory')
    }
    expect([repeat(), next(), next(), next()]).toEqual(['taken', 'former_run', 'former_run', 'former_run'])
    expect([next(), repeat(), next()]).toEqual(['taken', 'former_run', 'taken'])
    expect(fleet.stateOf('900b')).toBe('up')
    expect(fleet.conflicts).toEqual([])
  })

  it('is of no run while a link leads to another one', () => {
    fleet.setLinks([link()])
    tell('900b')
    expect(tell('900b', { instance: '900b 0', health: ENDED }, 'directory')).toBe('former_run')
    expect(fleet.stateOf('900b')).toBe('up')
    fleet.setLinks([link({ isUp: false, key: undefined, instance: undefined })])
    expect(tell('900b', { instance: '900b 2', sequence: 1 }, 'directory')).toBe('taken')
  })
})

it('is forgotten in time when another key has its place, and never while the file has the relay', () => {
  tell('900b')
  tell('901a')
  clock.advance(25_001)
  const successor = keyOf('another machine')
  const others = (): unknown[] => {
    listAll()
    tell('900b', { key: successor })
    return fleet.relays.filter(({ isListed }) => !isListed).map(({ name, state }) => `${name} ${state}`)
  }
  expect(others()).toEqual(['900b.lab down'])
  clock.advance(3_600_000)
  expect(others()).toEqual([])
  expect(fleet.stateOf('900b')).toBe('up')
  // It is the owner of its node, and stays down: a map must not take it back.
  expect(fleet.stateOf('901a')).toBe('down')
})
