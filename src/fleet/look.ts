// A look from outside: a relay asks a sibling to try its ports, and the sibling answers what it met. The two messages, as JSON in
// the frame of a state (`{"look":…}`, which no state begins with). A request names no place: the sibling looks at what its own
// regions file has for the relay that asks. Has no I/O.
//
// Contract: what `readLook` returns is within the bounds below, whatever the bytes were.

import { RELAY_STATE_BYTES_MAX } from '#protocol/limits.ts'
import { FieldReader, type NumberBounds } from './field-reader.ts'
import { printableText } from './printable-text.ts'

const PREFIX = Buffer.from('{"look":')
const ID = { charsMax: 64 }
const NAME = { charsMax: 320 }
const DETAIL = { charsMax: 300 }
/** Three ports over two families, for each node that a standby may be. */
const PORTS_MAX = 48
/** A relay is one node, and a standby a few. */
const CLAIMS_MAX = 8
const TIME_MS: NumberBounds = { min: 0, max: 253_402_300_800_000 }

const PORT_KINDS = ['derp', 'stun', 'http'] as const
export type PortKind = (typeof PORT_KINDS)[number]
const RESULTS = ['ok', 'failed', 'skipped'] as const

/** One port of the relay over one family. */
export interface LookedPort {
  readonly node: string
  readonly kind: PortKind
  readonly family: 4 | 6
  /** What was dialled; empty if there was none. */
  readonly at: string
  readonly result: (typeof RESULTS)[number]
  /** What was met, or why it was not tried. */
  readonly detail: string
  /** Of a DERP port: how far it went, `dial`, `tls`, `upgrade` or `login`. */
  readonly stage?: string | undefined
  /** The key of the relay that answered. */
  readonly key?: string | undefined
  /** Of STUN: the address that the relay sees, and the one that the request was sent from. */
  readonly sees?: string | undefined
  readonly from?: string | undefined
}

export type Look =
  | { readonly look: 'ask'; readonly id: string }
  | {
      readonly look: 'answer'
      readonly id: string
      /** Unix time by the clock of the sibling. */
      readonly nowMs: number
      /** Of its regions file. */
      readonly regions: string
      /** Why it does not look; empty if it has. */
      readonly refusal: string
      /** Other relays that claim a node of the one that asks. */
      readonly claims: readonly string[]
      readonly ports: readonly LookedPort[]
    }

/** What one sibling has answered, or that it has not. */
export interface OutsideView {
  readonly by: string
  readonly region: number | undefined
  /** Empty if it has looked. */
  readonly problem: string
  /** How far its clock was ahead of this relay's when the answer came. */
  readonly clockAheadMs?: number | undefined
  /** Its regions file says the same as this relay's. */
  readonly hasSameRegions?: boolean | undefined
  /** Other relays that claim a node of this one: who claims it does not link to this relay, and tells it nothing. */
  readonly claims?: readonly string[] | undefined
  readonly ports: readonly LookedPort[]
}

/** Whether a message is of a look, and no state. */
export function isLook(message: Uint8Array): boolean {
  return PREFIX.equals(message.subarray(0, PREFIX.length))
}

export function writeLook(look: Look): Uint8Array {
  return Buffer.from(JSON.stringify(look))
}

/** Undefined for a message that is not understood. */
export function readLook(message: Uint8Array): Look | undefined {
  if (message.length > RELAY_STATE_BYTES_MAX) return undefined
  const fields = FieldReader.of(Buffer.from(message).toString('utf8'))
  const id = fields?.text('id', ID)
  if (fields === undefined || id === undefined) return undefined
  const look = fields.text('look', ID)
  if (look === 'ask') return { look, id }
  const nowMs = fields.number('nowMs', TIME_MS)
  if (look !== 'answer' || nowMs === undefined) return undefined
  return {
    look,
    id,
    nowMs,
    regions: fields.text('regions', ID) ?? '',
    refusal: fields.text('refusal', DETAIL) ?? '',
    claims: fields.texts('claims', CLAIMS_MAX, DETAIL),
    ports: fields.objects('ports', PORTS_MAX, readPort),
  }
}

function readPort(fields: FieldReader): LookedPort | undefined {
  const kind = PORT_KINDS.find((one) => one === fields.text('kind', NAME))
  const result = RESULTS.find((one) => one === fields.text('result', NAME))
  const family = fields.number('family', { min: 4, max: 6, isInteger: true })
  if (kind === undefined || result === undefined || (family !== 4 && family !== 6)) return undefined
  return {
    node: fields.text('node', NAME) ?? '',
    kind,
    family,
    at: fields.text('at', NAME) ?? '',
    result,
    detail: fields.text('detail', DETAIL) ?? '',
    stage: fields.text('stage', NAME),
    key: fields.text('key', NAME),
    sees: fields.text('sees', NAME),
    from: fields.text('from', NAME),
  }
}

/** A detail as it may stand in an answer. */
export function shortDetail(text: string): string {
  return printableText(text, DETAIL)
}
