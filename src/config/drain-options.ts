// The options of a drain: how long each of its steps takes. A part of the table in `options.ts`.

import { durationOf } from './option-kind.ts'
import type { OptionTable } from './option.ts'

/** A drain that takes longer than an hour is a typing error. */
const DRAIN_MS_MAX = 3_600_000

export const DRAIN = {
  'drain-settle': {
    kind: durationOf(0, DRAIN_MS_MAX),
    fallback: '1s',
    about:
      'After SIGTERM, refuse new connections and wait this long before clients are moved. 30s lets idle clients of a region with one relay choose another region first: they measure every 20 s to 26 s. The default fits, with -drain-spread, into the 10 s that Docker allows',
    reload: 'value',
  },
  'drain-spread': {
    kind: durationOf(0, DRAIN_MS_MAX),
    fallback: '5s',
    about:
      'Move all clients within this time, evenly, idle ones first. Choose at least one second for each 500 clients and core of the relays that take them over: each move is a login there',
    reload: 'value',
  },
  'drain-scrape-wait': {
    kind: durationOf(0, DRAIN_MS_MAX),
    fallback: '1s',
    about:
      'After the last client has left, wait at most this long until /metrics is read once more, so that the last numbers are not lost. Choose the scrape interval if the time allowed for a stop is long enough',
    reload: 'value',
  },
} as const satisfies OptionTable
