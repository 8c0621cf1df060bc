// The fleet's state under a clock that the test moves: silence and blips, restarts, clocks that differ, two relays that
// claim the same, a fleet split in two, and relays that tell no state.

import { beforeEach, describe, expect, it } from 'vitest'
import { FleetState, type LinkEvidence } from '#fleet/fleet-state.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { keyOf, messageOf, stateOf, Tellers } from '../support/relay-states.ts'

const NODES = ['900a', '900b', '901a', '901b', '902a']
/** Three messages missed, and the grace. */
const DOWN_MS = 25_000

let clock: FakeClock
let fleet: FleetState
let tellers: Tellers

beforeEach(() => {
  clock = new FakeClock()
  fleet = new FleetState({ now: clock.now, ownKey: keyOf('900a') })
  fleet.setRelays(NODES.map((node) => ({ name: `${node}.lab`, nodes: [node], isOwn: node === '900a' })))
  fleet.takeOwn(stateOf('900a'))
  tellers = new Tellers(fleet)
})

const tell: Tellers['tell'] = (...message) => tellers.tell(...message)

/** All of these tell their state every five seconds. */
function pass(ms: number, ...names: readonly string[]): void {
  for (let left = ms; left > 0; left -= 5_000) {
    clock.advance(Math.min(left, 5_000))
    for (const name of names) tell(name)
  }
}

function link(name: string, changes: Partial<LinkEvidence> = {}): LinkEvidence {
  return { name: `${name}.lab`, isUp: true, key: keyOf(name), instance: `${name} 1`, ...changes }
}

describe('silence', () => {
  it('is no death while a relay may still be heard of', () => {
    expect(NODES.map((node) => fleet.stateOf(node))).toEqual(NODES.map(() => 'up'))
    const [own, ...others] = NODES.map((node) => fleet.seenStateOf(node))
    expect([own, ...new Set(others)]).toEqual(['up', undefined])
  })

  it('of a relay that tells no state is known by its link: up, or down for long enough', () => {
    fleet.setLinks([link('900b'), link('901a', { isUp: false }), link('901b', { isUp: undefined })])
    const seen = (): unknown[] => ['900b', '901a', '901b'].map((node) => fleet.seenStateOf(node))
    expect(seen()).toEqual(['up', undefined, undefined])
    clock.advance(DOWN_MS + 1)
    expect(seen()).toEqual(['up', 'down', undefined])
  })

  it('beyond the bound means down, and the next message means up', () => {
    tell('900b')
    clock.advance(DOWN_MS)
    expect(fleet.stateOf('900b')).toBe('up')
    clock.advance(1)
    expect(fleet.stateOf('900b')).toBe('down')
    tell('900b')
    expect(fleet.stateOf('900b')).toBe('up')
  })

  it('for the length of a redial is none', () => {
    tell('900b')
    for (let blip = 0; blip < 100; blip++) {
      clock.advance(15_000)
      expect(fleet.stateOf('900b')).toBe('up')
      tell('900b')
    }
  })

  it('is longer of a relay that tells its state less often', () => {
    tell('900b', { everyMs: 15_000 })
    clock.advance(55_000)
    expect(fleet.stateOf('900b')).toBe('up')
    clock.advance(1)
    expect(fleet.stateOf('900b')).toBe('down')
  })

  it('of this relay itself means nothing', () => {
    clock.advance(3_600_000)
    expect(fleet.stateOf('900a')).toBe('up')
  })
})

describe('an announced end', () => {
  it('is a drain at once, and then down at once', () => {
    tell('900b', { health: { state: 'draining', failing: [], clientsLeft: 9 } })
    expect(fleet.stateOf('900b')).toBe('draining')
    tell('900b', { health: { state: 'ended', failing: [] } })
    expect(fleet.stateOf('900b')).toBe('down')
  })

  it('of this relay is one, too', () => {
    fleet.takeOwn(stateOf('900a', { sequence: 2, health: { state: 'draining', failing: [] } }))
    expect(fleet.stateOf('900a')).toBe('draining')
  })

  it('is over when the relay has started again', () => {
    tell('900b', { health: { state: 'ended', failing: [] } })
    expect(tell('900b', { instance: '900b 2', sequence: 1 })).toBe('taken')
    expect(fleet.stateOf('900b')).toBe('up')
  })

  it('of a run that has handed over is not the end of the relay', () => {
    fleet.setLinks([link('900b')])
    tell('900b', { health: { state: 'handedOver', failing: [] } })
    clock.advance(10 * DOWN_MS)
    expect(fleet.stateOf('900b')).toBe('up')
    fleet.setLinks([link('900b', { isUp: false, key: undefined, instance: undefined })])
    clock.advance(DOWN_MS + 1)
    expect(fleet.stateOf('900b')).toBe('down')
  })
})

it('keeps a relay that is not ready: its clients are connected, and others see that its STUN is silent', () => {
  tell('900b', { health: { state: 'notReady', failing: ['admission: the backend is down'] } })
  expect(fleet.stateOf('900b')).toBe('up')
})

describe('the order of messages', () => {
  it('is that of the sender: what is older changes nothing', () => {
    tell('900b', { sequence: 10, health: { state: 'draining', failing: [] } })
    expect([tell('900b', { sequence: 10 }), tell('900b', { sequence: 9 })]).toEqual(['duplicate', 'stale'])
    expect(tell('900b', { run: 0, sequence: 99 })).toBe('stale')
    expect(fleet.stateOf('900b')).toBe('draining')
  })

  it('begins anew with another run, and a late message of the run before is none', () => {
    tell('900b', { sequence: 1_000 })
    expect(tell('900b', { instance: '900b 2', sequence: 1 })).toBe('taken')
    expect(tell('900b', { sequence: 1_001, health: { state: 'ended', failing: [] } })).toBe('former_run')
    expect(fleet.stateOf('900b')).toBe('up')
    expect(fleet.conflicts).toEqual([])
  })

  it('goes on in a run that took over in place', () => {
    tell('900b', { run: 1, sequence: 1_000 })
    expect(tell('900b', { run: 2, sequence: 1 })).toBe('taken')
    expect(tell('900b', { run: 1, sequence: 1_001, health: { state: 'handedOver', failing: [] } })).toBe(
      'stale',
    )
  })

  it('that has gone back is taken once the relay would else be silent, over a link alone', () => {
    tell('900b', { sequence: 1_000 })
    clock.advance(10_000)
    expect(tell('900b', { sequence: 5 })).toBe('stale')
    clock.advance(6_000)
    expect(tell('900b', { sequence: 6 }, 'directory')).toBe('stale')
    expect(tell('900b', { sequence: 6 })).toBe('taken')
    expect(tell('900b', { sequence: 7 })).toBe('taken')
  })

  it('does not depend on clocks: nothing in a message is a time of now', () => {
    tell('900b', { certificateNotAfterMs: 1 })
    tell('901a', { certificateNotAfterMs: 250_000_000_000_000 })
    expect([fleet.stateOf('900b'), fleet.stateOf('901a')]).toEqual(['up', 'up'])
  })
})

describe('two relays that claim one node', () => {
  const intruder = { key: keyOf('intruder'), instance: 'intruder 1', nodes: ['900b'] }

  it('are named, and the first one counts', () => {
    tell('900b', { health: { state: 'draining', failing: [] } })
    expect(tell('intruder', intruder)).toBe('taken')
    expect(fleet.stateOf('900b')).toBe('draining')
    expect(fleet.conflicts).toEqual([{ what: 'node 900b', owner: keyOf('900b'), other: keyOf('intruder') }])
  })

  it('are told apart by the key that the link to the node has proven', () => {
    tell('intruder', intruder)
    tell('900b', { health: { state: 'draining', failing: [] } })
    expect(fleet.stateOf('900b')).toBe('up')
    fleet.setLinks([link('900b')])
    expect(fleet.stateOf('900b')).toBe('draining')
    expect(fleet.conflicts).toMatchObject([{ owner: keyOf('900b'), other: keyOf('intruder') }])
  })

  it('are one again when one is gone, and the one that returns is not the first any more', () => {
    tell('900b')
    clock.advance(DOWN_MS + 1)
    tell('intruder', intruder)
    expect([fleet.stateOf('900b'), fleet.conflicts]).toEqual(['up', []])
    tell('900b', { health: { state: 'draining', failing: [] } })
    expect(fleet.stateOf('900b')).toBe('up')
    expect(fleet.conflicts).toMatchObject([{ owner: keyOf('intruder') }])
  })

  it('are told apart also where the one to which the link leads tells no state', () => {
    const derper = link('900b', { key: keyOf('derper'), instance: undefined })
    fleet.setLinks([derper])
    tell('intruder', { ...intruder, health: { state: 'ended', failing: [] } })
    expect(fleet.stateOf('900b')).toBe('up')
    tell('intruder', { ...intruder, health: { state: 'draining', failing: [] } })
    expect(fleet.stateOf('900b')).toBe('up')
    expect(fleet.conflicts).toEqual([{ what: 'node 900b', owner: keyOf('derper'), other: keyOf('intruder') }])
  })

  it('are told apart also when the one that the link has proven is gone', () => {
    fleet.setLinks([link('900b')])
    tell('900b')
    tell('intruder', intruder)
    fleet.setLinks([link('900b', { isUp: false, key: undefined, instance: undefined })])
    tell('900b', { health: { state: 'ended', failing: [] } })
    expect(fleet.stateOf('900b')).toBe('down')
    fleet.setLinks([link('900b', { key: keyOf('intruder'), instance: 'intruder 1' })])
    expect(fleet.stateOf('900b')).toBe('up')
  })

  it('do not take this relay its own', () => {
    tell('intruder', { ...intruder, nodes: ['900a'], health: { state: 'draining', failing: [] } })
    expect(fleet.stateOf('900a')).toBe('up')
    expect(fleet.conflicts).toMatchObject([{ owner: keyOf('900a') }])
  })

  it('may be one key: a run that goes on beside its successor is named', () => {
    tell('900b', { instance: 'one' })
    tell('900b', { instance: 'two' })
    clock.advance(10_001)
    expect(tell('900b', { instance: 'one' })).toBe('former_run')
    expect(fleet.conflicts).toEqual([{ what: 'key', owner: keyOf('900b'), other: keyOf('900b') }])
  })
})

describe('nonsense', () => {
  it('is counted, and leaves everything as it was', () => {
    tell('900b')
    const source = { key: keyOf('900b'), carrier: 'link' } as const
    const results = [
      fleet.take(Buffer.from('garbage'), source),
      fleet.take(Buffer.alloc(40_000), source),
      fleet.take(messageOf('901a'), source),
      fleet.take(messageOf('900a', { instance: 'another', sequence: 9 }), {
        key: keyOf('900a'),
        carrier: 'link',
      }),
    ]
    expect(results.map(({ result }) => result)).toEqual([
      'unreadable',
      'unreadable',
      'other_key',
      'other_key',
    ])
    expect(fleet.results.get('unreadable')).toBe(2)
    expect([fleet.stateOf('900b'), fleet.stateOf('900a')]).toEqual(['up', 'up'])
  })

  it('by the thousand is not read', () => {
    tell('900b')
    const source = { key: keyOf('900b'), carrier: 'link' } as const
    const results = Array.from({ length: 5_000 }, () => fleet.take(Buffer.from('garbage'), source).result)
    expect(results.filter((result) => result === 'too_often').length).toBeGreaterThan(4_900)
    clock.advance(1_000)
    expect(tell('900b')).toBe('taken')
  })

  it('from ever new keys fills the table up to its limit, and no relay to which a link leads is kept out', () => {
    for (let at = 0; at < 1_500; at++) tell(`fake ${at}`, { nodes: [] })
    expect(fleet.relays.length).toBeLessThanOrEqual(1_000 + NODES.length)
    expect(tell('900b')).toBe('too_many_relays')
    fleet.setLinks([link('900b')])
    expect(tell('900b')).toBe('taken')
    clock.advance(DOWN_MS + 1)
    expect(tell('901a')).toBe('taken')
  })

  it('shows its problems beside the relay', () => {
    tell('900b', { load: { clients: -5 } })
    const relay = fleet.relays.find(({ name }) => name === '900b.lab')
    expect(relay).toMatchObject({ state: 'up', problems: [expect.stringContaining('load.clients')] })
  })
})

describe('a fleet split in two', () => {
  it('has a majority on one side only, and nobody is down before that is known', () => {
    pass(60_000, '900b', '901a', '901b', '902a')
    expect(fleet.majority).toEqual({ seen: 5, expected: 5, isMajority: true })
    // This relay and 900b on one side. The others were last heard at different moments.
    clock.advance(1_000)
    tell('901a')
    clock.advance(2_000)
    tell('901b')
    let isMajority = true
    for (let second = 0; second < 40; second++) {
      clock.advance(1_000)
      tell('900b')
      ;({ isMajority } = fleet.majority)
      const down = NODES.filter((node) => fleet.stateOf(node) === 'down')
      if (down.length > 0) expect(isMajority, `down: ${down.join(' ')}`).toBe(false)
    }
    expect(NODES.filter((node) => fleet.stateOf(node) === 'down')).toEqual(['901a', '901b', '902a'])
    expect(fleet.majority).toEqual({ seen: 2, expected: 5, isMajority: false })
  })

  it('does not count relays that have ended in order', () => {
    pass(5_000, '900b', '901a', '901b', '902a')
    for (const name of ['901a', '901b', '902a']) tell(name, { health: { state: 'ended', failing: [] } })
    expect(fleet.majority).toEqual({ seen: 2, expected: 2, isMajority: true })
  })

  it('of two relays has no majority', () => {
    fleet.setRelays([
      { name: '900a.lab', nodes: ['900a'], isOwn: true },
      { name: '900b.lab', nodes: ['900b'], isOwn: false },
    ])
    expect(fleet.majority).toEqual({ seen: 1, expected: 2, isMajority: false })
  })
})

describe('a relay that tells no state', () => {
  const derper = link('900b', { instance: undefined })
  const broken = link('900b', { isUp: false, key: undefined, instance: undefined })

  it('is up while the link is up, and down some time after', () => {
    fleet.setLinks([derper])
    clock.advance(3_600_000)
    expect([fleet.stateOf('900b'), fleet.majority.seen]).toEqual(['up', 2])
    fleet.setLinks([broken])
    clock.advance(DOWN_MS)
    fleet.setLinks([broken])
    expect([fleet.stateOf('900b'), fleet.majority.seen]).toEqual(['up', 1])
    clock.advance(1)
    expect(fleet.stateOf('900b')).toBe('down')
    fleet.setLinks([derper])
    expect(fleet.stateOf('900b')).toBe('up')
  })

  it('may have taken the place of one that told it', () => {
    tell('900b', { health: { state: 'ended', failing: [] } })
    fleet.setLinks([link('900b', { instance: 'older version' })])
    expect(fleet.stateOf('900b')).toBe('up')
    clock.advance(3_600_000)
    expect(fleet.stateOf('900b')).toBe('up')
  })

  it('is up if there is no link to it, because none is needed', () => {
    fleet.setLinks([link('901a', { isUp: undefined, key: undefined, instance: undefined })])
    clock.advance(3_600_000)
    expect(fleet.stateOf('901a')).toBe('up')
  })

  it('is not taken for alive by its link when it tells a state and then no more', () => {
    fleet.setLinks([link('900b')])
    tell('900b')
    clock.advance(DOWN_MS + 1)
    expect(fleet.stateOf('900b')).toBe('down')
  })
})

it('knows a relay that is no node by its link, also when that has broken', () => {
  fleet.setRelays([
    { name: '900a.lab', nodes: [], isOwn: true },
    { name: '900b.lab', nodes: [], isOwn: false },
  ])
  fleet.setLinks([link('900b')])
  tell('900b', { nodes: [] })
  fleet.setLinks([link('900b', { isUp: false, key: undefined, instance: undefined })])
  tell('900b', { nodes: [], health: { state: 'ended', failing: [] } })
  expect(fleet.relays.map(({ name, state, knownBy }) => [name, state, knownBy])).toEqual([
    ['900a.lab', 'up', 'state'],
    ['900b.lab', 'down', 'state'],
  ])
  expect(fleet.majority).toEqual({ seen: 1, expected: 1, isMajority: true })
})

describe('without the directory', () => {
  it('relays that were heard over it alone stay as they were, and are not seen', () => {
    tell('901a', {}, 'directory')
    tell('900b')
    clock.advance(4_000)
    fleet.setDirectory(false)
    clock.advance(3_600_000)
    expect([fleet.stateOf('901a'), fleet.stateOf('900b')]).toEqual(['up', 'down'])
    expect(fleet.majority.seen).toBe(1)
    fleet.setDirectory(true)
    clock.advance(DOWN_MS - 4_000)
    expect(fleet.stateOf('901a')).toBe('up')
    clock.advance(1)
    expect(fleet.stateOf('901a')).toBe('down')
  })
})
