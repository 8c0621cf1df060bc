// Messages of relays' states: what is written is read, versions mix, and nothing out of bounds gets in.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  LINKS_MAX,
  readRelayState,
  shortReason,
  writeRelayState,
  type RelayState,
} from '#fleet/relay-state.ts'
import { RELAY_STATE_BYTES_MAX } from '#protocol/limits.ts'
import { keyOf, messageOf, stateOf } from '../support/relay-states.ts'

function read(json: unknown): ReturnType<typeof readRelayState> {
  return readRelayState(Buffer.from(typeof json === 'string' ? json : JSON.stringify(json)))
}

function stateIn(json: unknown): { readonly state: RelayState; readonly problems: readonly string[] } {
  const result = read(json)
  if (typeof result === 'string') throw new Error(result)
  return result
}

/** What a message of this version looks like on the wire. */
function wire(changes: object = {}): Record<string, unknown> {
  return { ...JSON.parse(Buffer.from(messageOf('900a')).toString()), ...changes }
}

/** As the first version of derpfleet that told its state would have: without fields that came later. */
const OLDER = {
  format: 1,
  name: 'derp1.example.com',
  key: keyOf('older'),
  instance: '0123456789abcdef0123456789abcdef',
  run: 1,
  sequence: 7,
  health: { state: 'ready' },
}

/** As a later version may: with fields, objects and lists that this one does not know. */
const NEWER = {
  ...OLDER,
  nodes: ['900a'],
  everyMs: 2_500,
  mood: { isGood: true, why: ['sun'] },
  health: { state: 'draining', clientsLeft: 3, failing: [], since: '2030-01-01' },
  load: { clients: 5, gpuShare: 0.1 },
  links: [{ to: 'derp2.example.com', isUp: true, rttMs: 3, colour: 'blue' }],
}

it('reads what it has written', () => {
  const state = stateOf('900a', {
    capacity: { clients: 10_000, bytesPerSecond: 1e9, headroomRatio: 0.5 },
    clients: {
      isKnown: true,
      countries: [
        { country: 'DE', clients: 12, medianMs: 20.5, homeClients: 10, homeMedianMs: 19 },
        { country: 'unknown', clients: 3, medianMs: 1, homeClients: 0 },
        { country: 'other', clients: 2, homeClients: 1 },
      ],
    },
    health: { state: 'draining', failing: ['drain: draining, 3 clients left'], clientsLeft: 3 },
  })
  expect(readRelayState(writeRelayState(state))).toEqual({ state, problems: [] })
})

describe('another version', () => {
  it('may lack every field but those that say who it is and how it is', () => {
    expect(stateIn(OLDER)).toEqual({
      state: {
        ...OLDER,
        format: undefined,
        nodes: [],
        everyMs: 5_000,
        version: '',
        health: { state: 'ready', failing: [], clientsLeft: undefined },
        load: {},
        capacity: {},
        clients: undefined,
        certificateNotAfterMs: undefined,
        links: [],
      },
      problems: [],
    })
  })

  it('may have more fields, which are passed over without a word', () => {
    const { state, problems } = stateIn(NEWER)
    expect(problems).toEqual([])
    expect(state).toMatchObject({ everyMs: 2_500, load: { clients: 5 }, health: { clientsLeft: 3 } })
    expect(JSON.stringify(state)).not.toMatch(/mood|gpu|colour|since/)
  })

  it('may say that it would be misunderstood', () => {
    expect(read({ ...NEWER, format: 2 })).toBe('has the format 2; this version knows 1')
  })
})

describe('nonsense', () => {
  it.each([
    ['nothing', ''],
    ['no JSON', '\u0000\u0001garbage'],
    ['another value', '[1,2,3]'],
    ['null', 'null'],
    ['deep nesting', `${'['.repeat(10_000)}${']'.repeat(10_000)}`],
    ['no format', { ...OLDER, format: undefined }],
    ['no key', { ...OLDER, key: undefined }],
    ['no node key', { ...OLDER, key: 'nodekey:12' }],
    ['a sequence that is no count', { ...OLDER, sequence: -1 }],
    ['a run that is no integer', { ...OLDER, run: 1.5 }],
    ['no health', { ...OLDER, health: undefined }],
    ['a health that is not known', { ...OLDER, health: { state: 'splendid' } }],
    ['a name with control characters', { ...OLDER, name: 'a\u001b[2Jb' }],
    ['a prototype', '{"__proto__":{"format":1}}'],
  ])('is refused as a whole: %s', (_name, json) => {
    expect(read(json)).toEqual(expect.any(String))
  })

  it('is refused when it is too long, before it is parsed', () => {
    expect(readRelayState(Buffer.alloc(RELAY_STATE_BYTES_MAX + 1, ' '))).toBe('is longer than 32768 bytes')
  })

  it.each([
    ['load', { clients: -1 }, 'load.clients is not an integer from 0 to 1099511627776'],
    ['load', { busiestThreadShare: 7 }, 'load.busiestThreadShare is not a number from 0 to 1'],
    ['load', 'heavy', 'load is no object'],
    ['capacity', { headroomRatio: '0.5' }, 'capacity.headroomRatio is not a number from 0 to 1'],
    ['certificateNotAfterMs', 1e300, 'certificateNotAfterMs is not a number from 0 to 253402300800000'],
    ['everyMs', 1, 'everyMs is not a number from 1000 to 60000'],
    ['nodes', '900a', 'nodes is no list'],
    ['nodes', ['x'.repeat(400)], 'nodes has an entry that is no short printable text'],
    ['nodes', Array.from({ length: 100 }, (_, at) => `n${at}`), 'nodes has more than 64 entries'],
    ['links', [{ to: 'a', isUp: true, rttMs: -3 }], 'links.rttMs is not a number from 0 to 3600000'],
    ['links', [7], 'links has an entry that is no object'],
    ['clients', [], 'clients is no object'],
    ['clients', { isKnown: 'yes' }, 'clients.isKnown is not true or false'],
    ['clients', { isKnown: true, countries: 'DE' }, 'clients.countries is no list'],
    [
      'clients',
      { isKnown: true, countries: [{ country: 'Germany!', clients: 1 }] },
      'clients.countries.country is not a printable text of at most 7 characters',
    ],
    [
      'clients',
      { isKnown: true, countries: [{ country: 'DE', clients: 1, medianMs: 1e9 }] },
      'clients.countries.medianMs is not a number from 0 to 60000',
    ],
  ])('in %s counts as absent, and is named', (field, value, problem) => {
    const { state, problems } = stateIn(wire({ [field]: value }))
    expect(problems).toEqual([problem])
    expect(state.name).toBe('900a.lab')
  })

  it('names a few problems and not thousands', () => {
    const links = Array.from({ length: LINKS_MAX }, () => ({ to: 'a', isUp: true, rttMs: -1 }))
    expect(stateIn(wire({ links })).problems).toHaveLength(8)
  })
})

it.each([
  ['controls', 'certificate: \u009b31m refused \u007f by the authority'],
  ['a mark of direction', 'admission: \u202e sdrawkcab'],
  ['a cut through a character', `x${'\u{1f600}'.repeat(200)}`],
  ['halves of characters', 'a\ud83d b'],
])('tells a reason with %s so that it is read', (_, reason) => {
  const failing = [shortReason(reason)]
  const { state, problems } = stateIn(wire({ health: { state: 'notReady', failing } }))
  expect([state.health.failing, problems]).toEqual([failing, []])
})

it('counts a country once, and no more clients at home than there are', () => {
  const entry = { country: 'DE', clients: 5, homeClients: 9 }
  const { state } = stateIn(
    wire({ clients: { isKnown: true, countries: [entry, entry, { ...entry, country: 'de' }] } }),
  )
  expect(state.clients?.countries).toEqual([
    { ...entry, homeClients: 5, medianMs: undefined, homeMedianMs: undefined },
  ])
})

it('leaves out links for which there is no room', () => {
  const links = Array.from({ length: 400 }, (_, at) => ({ to: `${at}`.padEnd(300, 'x'), isUp: true }))
  const message = writeRelayState(stateOf('900a', { links }))
  expect(message.length).toBeLessThanOrEqual(RELAY_STATE_BYTES_MAX)
  const { state } = readRelayState(message) as { state: RelayState }
  expect(state.links.length).toBeGreaterThan(30)
})

it('has a text of each bound, whatever JSON it is given', () => {
  const fields = fc.dictionary(
    fc.constantFrom(
      'name',
      'nodes',
      'everyMs',
      'version',
      'health',
      'load',
      'capacity',
      'clients',
      'links',
      'sequence',
    ),
    fc.jsonValue(),
  )
  fc.assert(
    fc.property(fields, (changes) => {
      const result = read(wire(changes))
      if (typeof result === 'string') return
      const { state } = result
      expect(JSON.stringify(state).length).toBeLessThan(2 * RELAY_STATE_BYTES_MAX)
      expect(state.everyMs).toBeGreaterThanOrEqual(1_000)
      expect(state.nodes.length).toBeLessThanOrEqual(64)
      for (const value of Object.values(state.load))
        if (value !== undefined) expect(value).toBeGreaterThanOrEqual(0)
    }),
  )
})
