// The verbs about who may use a running relay: `kick` ends a client's connections, and refuses it for a while, here or in the whole
// fleet. Adapts parts of the relay to verbs. Runs on the control thread.

import { KICK_SECONDS_MAX } from '#fleet/kick.ts'
import type { Verb, VerbAnswer } from '#ops/verb.ts'
import { parsePublicKey, shortKey } from '#protocol/node-key.ts'
import type { KickService } from './kick-service.ts'

/** Without a ban, a client is back within a second. */
const FOR_SECONDS = 600

/**
 * Parameters: `key`, a node key; `seconds` for which it may not come back, 0: it may, and a ban that there is ends; `fleet`: all
 * relays of the fleet are asked to do the same.
 */
export function kickVerb(kicks: Pick<KickService, 'kick' | 'kickAtSiblings'>): Verb {
  return {
    name: 'kick',
    changes: true,
    parameters: { key: 'string', seconds: 'number', fleet: 'boolean' },
    answer: async ({ parameters }) => {
      const { key: text = '', seconds = FOR_SECONDS, fleet = false } = parameters
      const key = parsePublicKey(String(text))
      if (key === undefined)
        return refusal(`key "${String(text).slice(0, 12)}" is no node key; expected nodekey:<64 hex digits>`)
      if (typeof seconds !== 'number' || !(seconds >= 0 && seconds <= KICK_SECONDS_MAX))
        return refusal(`seconds is ${String(seconds)}; expected 0 to ${KICK_SECONDS_MAX}`)
      const outcome = await kicks.kick(key, seconds)
      if ('refusal' in outcome) return refusal(outcome.refusal)
      const body = { key: shortKey(key), ended: outcome.ended, refusedForSeconds: seconds }
      if (fleet !== true) return { isDone: true, body }
      return { isDone: true, body: { ...body, fleet: await kicks.kickAtSiblings(key, seconds) } }
    },
  }
}

function refusal(error: string): VerbAnswer {
  return { isDone: false, body: { error } }
}
