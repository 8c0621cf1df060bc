// The verbs about who may use a running relay: `kick` ends a client's connections, and refuses it for a while. Adapts parts of the
// relay to verbs. Runs on the control thread.

import type { Verb, VerbAnswer } from '#ops/verb.ts'
import { parsePublicKey, shortKey } from '#protocol/node-key.ts'
import type { Counters } from '#relay/counters.ts'
import { EndReason } from '#relay/end-reason.ts'
import type { RelayAdmission } from './admission.ts'
import type { RelayThreads } from './relay-threads.ts'

/** Without a ban, a client is back within a second. */
const FOR_SECONDS = 600
/** A year: whoever is to stay away belongs into the list of keys. */
const FOR_SECONDS_MAX = 31_536_000

export interface KickParts {
  readonly admission: Pick<RelayAdmission, 'ban' | 'isOff'>
  readonly threads: Pick<RelayThreads, 'broadcast' | 'handled' | 'counters'>
}

/** Parameters: `key`, a node key; `seconds` for which it may not come back, 0: it may, and a ban that there is ends. */
export function kickVerb({ admission, threads }: KickParts): Verb {
  return {
    name: 'kick',
    changes: true,
    parameters: { key: 'string', seconds: 'number' },
    answer: async ({ parameters }) => {
      const { key: text = '', seconds = FOR_SECONDS } = parameters
      const key = parsePublicKey(String(text))
      if (key === undefined)
        return refusal(`key "${String(text).slice(0, 12)}" is no node key; expected nodekey:<64 hex digits>`)
      if (typeof seconds !== 'number' || !(seconds >= 0 && seconds <= FOR_SECONDS_MAX))
        return refusal(`seconds is ${String(seconds)}; expected 0 to ${FOR_SECONDS_MAX}`)
      if (admission.isOff && seconds > 0)
        return refusal(
          `seconds is ${seconds}; expected 0, because this relay is open: it asks nobody, and so can refuse nobody`,
        )
      admission.ban(key, 1_000 * seconds)
      const before = kickedBy(threads.counters)
      threads.broadcast({ kind: 'endKey', key })
      await threads.handled()
      const ended = kickedBy(threads.counters) - before
      return { isDone: true, body: { key: shortKey(key), ended, refusedForSeconds: seconds } }
    },
  }
}

function kickedBy(counters: readonly Counters[]): number {
  return counters.reduce((sum, one) => sum + one.ended(EndReason.kicked), 0)
}

function refusal(error: string): VerbAnswer {
  return { isDone: false, body: { error } }
}
