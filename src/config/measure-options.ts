// The options of what a relay measures of itself and of its clients. A part of the table in `options.ts`.

import { boolean, integer } from './option-kind.ts'
import type { OptionTable } from './option.ts'

/** With less, a few clients would fill it. */
const CAPACITY_BITS_MIN = 1_000_000

export const MEASURE = {
  countries: {
    kind: boolean,
    fallback: 'true',
    about:
      'Count round trips and STUN requests by country, with the table of the optional package geoip-lite: 15 MB of memory from the first client on. Addresses are not kept',
  },
  'serve-regions': {
    kind: boolean,
    fallback: 'false',
    about:
      'Serve /regions on the DERP port as well, to everyone: the regions of -regions-file by their distance from the address that asks, without counts of clients',
  },
  'capacity-bits': {
    kind: integer(CAPACITY_BITS_MIN),
    fallbackNote: 'not known',
    about:
      "Bits per second that this relay's network may carry in each direction. Limits nothing: metrics and the fleet state say how much of it is left",
  },
} as const satisfies OptionTable
