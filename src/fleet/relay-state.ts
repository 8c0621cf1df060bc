// The state of one relay, as it tells it to its siblings and they keep it: who it is, whether clients may be sent to it,
// what it carries, and how far its siblings are. Written and read as JSON. Has no I/O and no clock; what a fleet makes of
// the states is `fleet-state.ts`.
//
// Versions mix: a reader passes over fields that it does not know, and a field that it knows may be absent. `format` is
// the least that a reader must know; it rises only when a message would be misunderstood without the new meaning.
//
// Contract: what `readRelayState` returns is within the bounds below, whatever the bytes were.

import { RELAY_STATE_BYTES_MAX } from '#protocol/limits.ts'
import { parsePublicKey } from '#protocol/node-key.ts'
import { readClientCountries, type ClientCountries } from './client-countries.ts'
import { FieldReader, type NumberBounds } from './field-reader.ts'
import { printableText } from './printable-text.ts'

const FORMAT = 1

/** Links that a message has room for: more siblings than a fleet without a key directory has. */
export const LINKS_MAX = 256
/** A message that is too long is tried with so many of its links: a few attempts, and few links lost. */
const SHORTER = 0.9
/** A standby is a node of several regions; no region has so many. */
const NODES_MAX = 64
/** Checks of /readyz that fail, each with its reason. */
export const FAILING_MAX = 16
/** A host name and a port, a node's name, an address to dial, or a version. */
const NAME = { charsMax: 320 }
/** A reason of a failing check is a sentence or two. */
const REASON = { charsMax: 300 }
const INSTANCE = { charsMax: 64 }
const COUNT: NumberBounds = { min: 0, max: 2 ** 40, isInteger: true }
/** Beyond what any network card does. */
const RATE: NumberBounds = { min: 0, max: 2 ** 50 }
const RATIO: NumberBounds = { min: 0, max: 1 }
const MILLISECONDS: NumberBounds = { min: 0, max: 3_600_000 }
/** Unix time until the year 10,000. */
const TIME_MS: NumberBounds = { min: 0, max: 253_402_300_800_000 }
/** A relay that told its state more often would be refused, and one that told it less often would be down for long unnoticed. */
const EVERY_MS: NumberBounds = { min: 1_000, max: 60_000 }

/**
 * - `ready`: all checks of /readyz pass.
 * - `notReady`: one fails.
 * - `draining`: it moves its clients away, or is about to, and then ends.
 * - `handedOver`: the last message of a run; another run of the relay goes on in its place.
 * - `ended`: the last message of the relay.
 */
export const HEALTH_STATES = ['ready', 'notReady', 'draining', 'handedOver', 'ended'] as const
export type HealthState = (typeof HEALTH_STATES)[number]

export interface RelayHealth {
  readonly state: HealthState
  /** The failing checks, each with its reason. */
  readonly failing: readonly string[]
  /** In a drain: clients that are still connected. */
  readonly clientsLeft?: number | undefined
}

/** Numbers of the last interval; each undefined where the relay does not say. */
export interface RelayLoad {
  readonly clients?: number | undefined
  readonly homeClients?: number | undefined
  readonly bytesInPerSecond?: number | undefined
  readonly bytesOutPerSecond?: number | undefined
  readonly packetsInPerSecond?: number | undefined
  readonly packetsOutPerSecond?: number | undefined
  /** The highest mean of ten seconds within the last hour, of what it sends to clients and siblings. */
  readonly peakBytesPerSecond?: number | undefined
  readonly peakPacketsPerSecond?: number | undefined
  /** The share of its time that the busiest relay thread works. */
  readonly busiestThreadShare?: number | undefined
}

/** What the relay could carry; each undefined where it does not know. */
export interface RelayCapacity {
  readonly clients?: number | undefined
  readonly bytesPerSecond?: number | undefined
  readonly packetsPerSecond?: number | undefined
  /** What is left of all of it: 0 to 1. */
  readonly headroomRatio?: number | undefined
}

/** The relay's own link to a sibling. */
export interface LinkState {
  /** The sibling's name among the siblings of that relay. */
  readonly to: string
  readonly isUp: boolean
  /** Smoothed; and the smallest and the median of the last minute. */
  readonly rttMs?: number | undefined
  readonly rttMinMs?: number | undefined
  readonly rttMedianMs?: number | undefined
  readonly jitterMs?: number | undefined
  readonly lossRatio?: number | undefined
  /** How long a packet waited in the relay for the link, in the last second. */
  readonly queueDelayMs?: number | undefined
}

export interface RelayState {
  /** Its host name. */
  readonly name: string
  /** Its names as a node of the DERP map; several for a standby, none without a regions file. */
  readonly nodes: readonly string[]
  /** Its public key as text. */
  readonly key: string
  /** The same for runs that replace each other in place, and another after each restart. */
  readonly instance: string
  /** The number of this run, and of this message in the run. */
  readonly run: number
  readonly sequence: number
  /** How often it tells its state at least. */
  readonly everyMs: number
  readonly version: string
  readonly health: RelayHealth
  readonly load: RelayLoad
  readonly capacity: RelayCapacity
  /** Where its clients are; undefined where it does not say. */
  readonly clients?: ClientCountries | undefined
  /** When its certificate expires, Unix time by the certificate; undefined without TLS. */
  readonly certificateNotAfterMs?: number | undefined
  readonly links: readonly LinkState[]
}

export interface ReadState {
  readonly state: RelayState
  /** Fields whose values were out of bounds; they count as absent. */
  readonly problems: readonly string[]
}

/** The reason of a failing check as it may stand in a state. */
export function shortReason(text: string): string {
  return printableText(text, REASON)
}

/** The message of a state, with as many links as there is room for. */
export function writeRelayState(state: RelayState): Uint8Array {
  const links = state.links.slice(0, LINKS_MAX)
  for (; ; links.length = Math.floor(links.length * SHORTER)) {
    const bytes = Buffer.from(JSON.stringify({ format: FORMAT, ...state, links }))
    if (bytes.length <= RELAY_STATE_BYTES_MAX || links.length === 0) return bytes
  }
}

/** Reads a message. A text says why it is none that this program understands. */
export function readRelayState(message: Uint8Array): ReadState | string {
  if (message.length > RELAY_STATE_BYTES_MAX) return `is longer than ${RELAY_STATE_BYTES_MAX} bytes`
  const fields = FieldReader.of(Buffer.from(message).toString('utf8'))
  if (fields === undefined) return 'is no JSON object'
  const format = fields.number('format', { min: 1, max: 1_000, isInteger: true })
  if (format === undefined) return 'has no format'
  if (format > FORMAT) return `has the format ${format}; this version knows ${FORMAT}`
  const identity = readIdentity(fields)
  if (identity === undefined) return 'does not say which relay it is of, or at which sequence'
  const health = readHealth(fields.object('health'))
  if (health === undefined) return 'does not say the health of the relay'
  const state: RelayState = {
    ...identity,
    nodes: [...new Set(fields.texts('nodes', NODES_MAX, NAME))],
    everyMs: fields.number('everyMs', EVERY_MS) ?? 5_000,
    version: fields.text('version', NAME) ?? '',
    health,
    load: readLoad(fields.object('load')),
    capacity: readCapacity(fields.object('capacity')),
    clients: readClientCountries(fields.object('clients')),
    certificateNotAfterMs: fields.number('certificateNotAfterMs', TIME_MS),
    links: fields.objects('links', LINKS_MAX, readLink),
  }
  return { state, problems: fields.problems }
}

/** Without these a message says nothing. */
function readIdentity(
  fields: FieldReader,
): Pick<RelayState, 'name' | 'key' | 'instance' | 'run' | 'sequence'> | undefined {
  const name = fields.text('name', NAME)
  const key = fields.text('key', NAME)
  const instance = fields.text('instance', INSTANCE)
  const run = fields.number('run', COUNT)
  const sequence = fields.number('sequence', COUNT)
  if (name === undefined || key === undefined || instance === undefined) return undefined
  if (run === undefined || sequence === undefined || parsePublicKey(key) === undefined) return undefined
  return { name, key, instance, run, sequence }
}

function readHealth(fields: FieldReader | undefined): RelayHealth | undefined {
  const text = fields?.text('state', NAME)
  const state = HEALTH_STATES.find((one) => one === text)
  if (fields === undefined || state === undefined) return undefined
  return {
    state,
    failing: fields.texts('failing', FAILING_MAX, REASON),
    clientsLeft: fields.number('clientsLeft', COUNT),
  }
}

function readLoad(fields: FieldReader | undefined): RelayLoad {
  if (fields === undefined) return {}
  return {
    clients: fields.number('clients', COUNT),
    homeClients: fields.number('homeClients', COUNT),
    bytesInPerSecond: fields.number('bytesInPerSecond', RATE),
    bytesOutPerSecond: fields.number('bytesOutPerSecond', RATE),
    packetsInPerSecond: fields.number('packetsInPerSecond', RATE),
    packetsOutPerSecond: fields.number('packetsOutPerSecond', RATE),
    peakBytesPerSecond: fields.number('peakBytesPerSecond', RATE),
    peakPacketsPerSecond: fields.number('peakPacketsPerSecond', RATE),
    busiestThreadShare: fields.number('busiestThreadShare', RATIO),
  }
}

function readCapacity(fields: FieldReader | undefined): RelayCapacity {
  if (fields === undefined) return {}
  return {
    clients: fields.number('clients', COUNT),
    bytesPerSecond: fields.number('bytesPerSecond', RATE),
    packetsPerSecond: fields.number('packetsPerSecond', RATE),
    headroomRatio: fields.number('headroomRatio', RATIO),
  }
}

function readLink(fields: FieldReader): LinkState | undefined {
  const to = fields.text('to', NAME)
  const isUp = fields.flag('isUp')
  if (to === undefined || isUp === undefined) return undefined
  return {
    to,
    isUp,
    rttMs: fields.number('rttMs', MILLISECONDS),
    rttMinMs: fields.number('rttMinMs', MILLISECONDS),
    rttMedianMs: fields.number('rttMedianMs', MILLISECONDS),
    jitterMs: fields.number('jitterMs', MILLISECONDS),
    lossRatio: fields.number('lossRatio', RATIO),
    queueDelayMs: fields.number('queueDelayMs', MILLISECONDS),
  }
}
