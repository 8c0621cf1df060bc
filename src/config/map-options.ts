// The options of the fleet's DERP map: who may fetch it, how it is signed, and how soon it follows the fleet. A part of the table in
// `options.ts`.

import { boolean, durationOf, text } from './option-kind.ts'
import type { OptionTable } from './option.ts'

/** A hold-down that is longer than a day is a typing error. */
const HOLD_DOWN_MS_MAX = 86_400_000
/** More often than that, states would be a load; as other relays accept it. */
const STATE_EVERY_MS = { min: 1_000, max: 60_000 }

export const MAP = {
  'serve-map': {
    kind: boolean,
    fallback: 'false',
    about:
      'Serve the DERP map of -regions-file on the DERP port as well, to everyone: /derpmap.json, /derpmap.yaml, /derpmap.policy, and each with .sig',
    reload: 'value',
  },
  'map-key-file': {
    kind: text('the path of a file', 'FILE'),
    about:
      'Ed25519 private key (PEM) that signs the DERP map of -regions-file; must be the same in the whole fleet',
  },
  'map-removal': {
    kind: durationOf(0, HOLD_DOWN_MS_MAX),
    fallback: '60s',
    about:
      'Remove a relay from the DERP map when it is away for this long. A restart is to take less: clients reconnect to every region whose entry changes. Use the same value in the whole fleet',
    reload: 'value',
  },
  'map-return': {
    kind: durationOf(0, HOLD_DOWN_MS_MAX),
    fallback: '120s',
    about:
      'Add a relay to the DERP map again when it is back for this long. Use the same value in the whole fleet',
    reload: 'value',
  },
  'state-interval': {
    kind: durationOf(STATE_EVERY_MS.min, STATE_EVERY_MS.max),
    fallback: '5s',
    about:
      'Tell siblings the state of this relay at least this often. A relay counts as down after three intervals and 10s of silence. Fleets of more than a hundred relays use longer intervals by themselves',
  },
} as const satisfies OptionTable
