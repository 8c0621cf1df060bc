// A kick for the whole fleet: a relay asks a sibling to end the connections of a client and to refuse it for a while, and the
// sibling answers what came of it. The two messages, as JSON in the frame of a state (`{"kick":…}`, which no state begins with).
// Whether it does so is the sibling's decision. Has no I/O.
//
// Contract: what `readKick` returns is within the bounds below, whatever the bytes were.

import { RELAY_STATE_BYTES_MAX } from '#protocol/limits.ts'
import { parsePublicKey, publicKeyText } from '#protocol/node-key.ts'
import { FieldReader } from './field-reader.ts'
import { printableText } from './printable-text.ts'

const PREFIX = Buffer.from('{"kick":')
const ID = { charsMax: 64 }
const KEY = { charsMax: 80 }
const DETAIL = { charsMax: 300 }
/** A year: whoever is to stay away belongs into the list of keys. */
export const KICK_SECONDS_MAX = 31_536_000
const SECONDS = { min: 0, max: KICK_SECONDS_MAX }
const COUNT = { min: 0, max: 1_000_000, isInteger: true }

export type Kick =
  | { readonly kick: 'ask'; readonly id: string; readonly key: Uint8Array; readonly seconds: number }
  | {
      readonly kick: 'answer'
      readonly id: string
      /** Connections that were ended. */
      readonly ended: number
      /** Why nothing was done; empty if it was. */
      readonly refusal: string
    }

/** What one relay of the fleet has done. */
export interface KickView {
  /** The name of the relay. */
  readonly relay: string
  /** Connections that were ended there. */
  readonly ended: number
  /** Why it is not known to have done it; empty if it has. */
  readonly problem: string
}

/** Whether a message is of a kick, and no state. */
export function isKick(message: Uint8Array): boolean {
  return PREFIX.equals(message.subarray(0, PREFIX.length))
}

export function writeKick(kick: Kick): Uint8Array {
  const fields =
    kick.kick === 'ask'
      ? { ...kick, key: publicKeyText(kick.key) }
      : { ...kick, refusal: printableText(kick.refusal, DETAIL) }
  return Buffer.from(JSON.stringify(fields))
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
  const seconds = fields.number('seconds', SECONDS)
  return kick === 'ask' && key !== undefined && seconds !== undefined ? { kick, id, key, seconds } : undefined
}
