// The verbs about who may use a running relay: `kick` ends a client's connections, and refuses it for a while, `deny` does so until
// `allow` takes it back; each here or in the whole fleet. `denied` lists whom the relay refuses so. Adapts parts of the relay to verbs.
// Runs on the control thread.

import type { Ban, Bans } from '#admission/bans.ts'
import { KICK_SECONDS_MAX, reasonProblem, type KeyOrder } from '#fleet/kick.ts'
import type { Verb, VerbAnswer, VerbBody } from '#ops/verb.ts'
import { parsePublicKey, publicKeyText, shortKey } from '#protocol/node-key.ts'
import type { KickDone, KickService } from './kick-service.ts'

/** Without a ban, a client is back within a second. */
const FOR_SECONDS = 600

type Parameters = Readonly<Record<string, boolean | number | string>>
type Kicks = Pick<KickService, 'askSiblings' | 'obey'>

/**
 * Parameters: `key`, a node key; `seconds` for which it may not come back, 0: it may, and a denial that there is ends; `fleet`: all
 * relays of the fleet are asked to do the same.
 */
export function kickVerb(kicks: Kicks): Verb {
  return {
    name: 'kick',
    changes: true,
    parameters: { key: 'string', seconds: 'number', fleet: 'boolean' },
    answer: async ({ parameters }) => {
      const { seconds = FOR_SECONDS } = parameters
      const key = keyOf(parameters)
      if (typeof key === 'string') return refusal(key)
      if (typeof seconds !== 'number' || !(seconds >= 0 && seconds <= KICK_SECONDS_MAX))
        return refusal(`seconds is ${String(seconds)}; expected 0 to ${KICK_SECONDS_MAX}`)
      return await answerTo(kicks, { kick: 'ask', key, seconds }, parameters, ({ ended, deniedMs }) => ({
        ended,
        refusedForSeconds: secondsOf(deniedMs),
      }))
    },
  }
}

/** The same parameters; without `seconds` the key is denied until it is allowed again. `why` is for the log and the list. */
export function denyVerb(kicks: Kicks): Verb {
  return {
    name: 'deny',
    changes: true,
    parameters: { key: 'string', seconds: 'number', why: 'string', fleet: 'boolean' },
    answer: async ({ parameters }) => {
      const { seconds } = parameters
      const reason = String(parameters['why'] ?? '')
      const key = keyOf(parameters)
      if (typeof key === 'string') return refusal(key)
      if (seconds !== undefined && !(Number(seconds) > 0 && Number(seconds) <= KICK_SECONDS_MAX))
        return refusal(`seconds is ${String(seconds)}; expected more than 0, and at most ${KICK_SECONDS_MAX}`)
      const problem = reasonProblem(reason)
      if (problem !== undefined) return refusal(problem)
      const forSeconds = seconds === undefined ? undefined : Number(seconds)
      const order: KeyOrder = { kick: 'deny', key, seconds: forSeconds, reason }
      return await answerTo(kicks, order, parameters, ({ ended, deniedMs, isKept }) => ({
        ended,
        deniedForSeconds: secondsOf(deniedMs),
        isKept,
      }))
    },
  }
}

/** Parameters: `key` and `fleet`. */
export function allowVerb(kicks: Kicks): Verb {
  return {
    name: 'allow',
    changes: true,
    parameters: { key: 'string', fleet: 'boolean' },
    answer: async ({ parameters }) => {
      const key = keyOf(parameters)
      if (typeof key === 'string') return refusal(key)
      return await answerTo(kicks, { kick: 'allow', key }, parameters, ({ wasDenied, isKept }) => ({
        wasDenied,
        isKept,
      }))
    },
  }
}

/** Whom an operator denies now. */
export function deniedVerb(admission: { readonly bans: Pick<Bans, 'all'> }): Verb {
  return {
    name: 'denied',
    changes: false,
    parameters: {},
    answer: () => {
      const nowMs = Date.now()
      return {
        isDone: true,
        body: { denied: admission.bans.all().map(([key, ban]) => banBody(key, ban, nowMs)) },
      }
    },
  }
}

/** null where there is none: it is denied until it is allowed again, or it is not known since when. */
function banBody(key: Uint8Array, { forMs, sinceMs, reason }: Ban, nowMs: number): VerbBody {
  return {
    key: publicKeyText(key),
    since: sinceMs === undefined ? null : new Date(sinceMs).toISOString(),
    until: forMs === Infinity ? null : new Date(nowMs + forMs).toISOString(),
    remainingSeconds: secondsOf(forMs),
    reason,
  }
}

async function answerTo(
  kicks: Kicks,
  order: KeyOrder,
  { fleet }: Parameters,
  bodyOf: (done: KickDone) => VerbBody,
): Promise<VerbAnswer> {
  const outcome = await kicks.obey(order)
  if ('refusal' in outcome) return refusal(outcome.refusal)
  const body = { key: shortKey(order.key), ...bodyOf(outcome) }
  if (fleet !== true) return { isDone: true, body }
  return { isDone: true, body: { ...body, fleet: await kicks.askSiblings(order) } }
}

/** The key, or what is wrong with it. */
function keyOf({ key: text = '' }: Parameters): Uint8Array | string {
  const key = parsePublicKey(String(text))
  return key ?? `key "${String(text).slice(0, 12)}" is no node key; expected nodekey:<64 hex digits>`
}

/** null: it has no end. */
function secondsOf(forMs: number): number | null {
  return forMs === Infinity ? null : Math.ceil(forMs / 1_000)
}

function refusal(error: string): VerbAnswer {
  return { isDone: false, body: { error } }
}
