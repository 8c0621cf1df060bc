// What an operator orders for one key, here or in the whole fleet: to end its connections and refuse it for a while (a kick), to do so
// until it is taken back (a denial), or to allow it again. For the fleet, a relay asks a sibling, and the sibling answers what came of
// it. The messages, as JSON in the frame of a state (`{"kick":…}`, which no state begins with). Whether it does so is the sibling's
// decision. Has no I/O.
//
// Contract: what `readKick` returns is within the bounds below, whatever the bytes were. A version that does not know an order does not
// answer it, and so never does something else.

import { RELAY_STATE_BYTES_MAX } from '#protocol/limits.ts'
import { parsePublicKey, publicKeyText } from '#protocol/node-key.ts'
import { FieldReader } from './field-reader.ts'
import { isPrintable, printableText } from './printable-text.ts'

const PREFIX = Buffer.from('{"kick":')
const ID = { charsMax: 64 }
const KEY = { charsMax: 80 }
const DETAIL = { charsMax: 300 }
/** A year: whoever is to stay away for longer is denied until it is taken back. */
export const KICK_SECONDS_MAX = 31_536_000
const SECONDS = { min: 0, max: KICK_SECONDS_MAX }
const COUNT = { min: 0, max: 1_000_000, isInteger: true }
/** A ticket and a few words. In JSON: those of as many keys as may be denied fit into their file. */
export const DENY_REASON_BYTES_MAX = 80
const REASON = { charsMax: DENY_REASON_BYTES_MAX }

export type KeyOrder =
  /** 0 seconds: its connections end, and so does a denial that there is. */
  | { readonly kick: 'ask'; readonly key: Uint8Array; readonly seconds: number }
  | {
      readonly kick: 'deny'
      readonly key: Uint8Array
      /** Undefined: until it is taken back. */
      readonly seconds: number | undefined
      /** In the operator's words; empty if there are none. */
      readonly reason: string
    }
  | { readonly kick: 'allow'; readonly key: Uint8Array }

export type KickAsk = KeyOrder & { readonly id: string }

export interface KickAnswer {
  readonly kick: 'answer'
  readonly id: string
  /** Connections that were ended. */
  readonly ended: number
  /** Why nothing was done; empty if it was. */
  readonly refusal: string
}

export type Kick = KickAsk | KickAnswer

/** What one relay of the fleet has done. */
export interface KickView {
  /** The name of the relay. */
  readonly relay: string
  /** Connections that were ended there. */
  readonly ended: number
  /** Why it is not known to have done it; empty if it has. */
  readonly problem: string
}

/** What is wrong with the reason of a denial; undefined: nothing. */
export function reasonProblem(reason: string): string | undefined {
  const bytes = Buffer.byteLength(JSON.stringify(reason)) - 2
  if (bytes > DENY_REASON_BYTES_MAX)
    return `the reason has ${bytes} bytes; expected at most ${DENY_REASON_BYTES_MAX}`
  return isPrintable(reason) ? undefined : 'the reason is not printable; expected one line of text'
}

/** Whether a message is of a kick, and no state. */
export function isKick(message: Uint8Array): boolean {
  return PREFIX.equals(message.subarray(0, PREFIX.length))
}

export function writeKick({ kick, ...fields }: Kick): Uint8Array {
  const written =
    'refusal' in fields
      ? { ...fields, refusal: printableText(fields.refusal, DETAIL) }
      : 'key' in fields
        ? { ...fields, key: publicKeyText(fields.key) }
        : fields
  // It is known by its first field.
  return Buffer.from(JSON.stringify({ kick, ...written }))
}

/** Undefined for a message that is not understood. */
export function readKick(message: Uint8Array): Kick | undefined {
  if (message.length > RELAY_STATE_BYTES_MAX) return undefined
  const fields = FieldReader.of(Buffer.from(message).toString('utf8'))
  const id = fields?.text('id', ID)
  if (fields === undefined || id === undefined) return undefined
  const kick = fields.text('kick', ID)
  if (kick === 'answer')
    return {
      kick,
      id,
      ended: fields.number('ended', COUNT) ?? 0,
      refusal: fields.text('refusal', DETAIL) ?? '',
    }
  const key = parsePublicKey(fields.text('key', KEY) ?? '')
  const order = key === undefined ? undefined : readOrder(kick, key, fields)
  return order === undefined ? undefined : { ...order, id }
}

function readOrder(kick: string | undefined, key: Uint8Array, fields: FieldReader): KeyOrder | undefined {
  if (kick === 'allow') return { kick, key }
  const seconds = fields.number('seconds', SECONDS)
  if (kick === 'ask') return seconds === undefined ? undefined : { kick, key, seconds }
  if (kick !== 'deny' || seconds === 0) return undefined
  const reason = fields.text('reason', REASON) ?? ''
  // A time that is out of bounds is not one without an end.
  const isValid = fields.problems.length === 0 && reasonProblem(reason) === undefined
  return isValid ? { kick, key, seconds, reason } : undefined
}
