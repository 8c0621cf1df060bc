// When a certificate is renewed: within the window that the authority asks for (ARI), else at two thirds of its life, and in any
// case before it expires. All times follow from the certificate's life, so that a certificate of 6 days has shorter intervals
// than one of 90. Pure: the time and randomness are passed in.

import type { BackOff } from '#protocol/back-off.ts'
import { jittered, type Jitter } from '#protocol/back-off.ts'
import { ASK_AGAIN_MS, type RenewalInformation } from './renewal-information.ts'

/** The field's advice for certificates of any life: a third of it is left for failures. */
const RENEWED_AT = 2 / 3
/** Relays that were started together do not renew together. */
const RENEWAL_JITTER: Jitter = { from: 0.95, to: 1.05 }
/** A window that reaches into the last tenth of the life is cut off there: an order may fail, and clients' clocks differ. */
const LAST_RENEWAL_AT = 0.9

/** ARI is asked for this many times in a life at least, whatever the server says about the next question. */
const QUESTIONS_PER_LIFE = 8

/** Relays that were started together do not ask together. */
const FIRST_QUESTION_MS_MAX = 600_000
const FIRST_QUESTIONS_PER_LIFE = 100

/** The first delay after a failure: shorter than an operator waits, and long enough to stay within authorities' rate limits. */
const FIRST_RETRY_MS = 120_000
/** Let's Encrypt allows five failed validations an hour for a name. */
const RETRY_MS_MAX = 3_600_000
/** A short life allows several attempts within its last third. */
const FIRST_RETRIES_PER_LIFE = 60
const LAST_RETRIES_PER_LIFE = 15
const RETRY_MS_MIN = 1_000

export interface Life {
  /** Unix time in milliseconds. */
  readonly fromMs: number
  readonly untilMs: number
}

/** A time at two thirds of the life. @param random of [0, 1) */
export function renewalByLife({ fromMs, untilMs }: Life, random: number): number {
  const share = Math.min(jittered(RENEWED_AT, RENEWAL_JITTER, random), LAST_RENEWAL_AT)
  return fromMs + (untilMs - fromMs) * share
}

/** A time within the authority's window, and never too late for the certificate. @param random of [0, 1) */
export function renewalByWindow(
  life: Life,
  { fromMs, untilMs }: Pick<RenewalInformation, 'fromMs' | 'untilMs'>,
  random: number,
): number {
  const lastMs = life.fromMs + (life.untilMs - life.fromMs) * LAST_RENEWAL_AT
  return Math.min(fromMs + (untilMs - fromMs) * random, lastMs)
}

/** Whether the certificate is in the last part of its life, in which anything is better than to wait. */
export function isLastPart({ fromMs, untilMs }: Life, nowMs: number): boolean {
  return nowMs >= fromMs + (untilMs - fromMs) * LAST_RENEWAL_AT
}

/** How long an answer of ARI is used. @param information undefined if the authority says nothing about the certificate */
export function askAgainMs(life: Life, information: RenewalInformation | undefined): number {
  return Math.min(information?.askAgainMs ?? ASK_AGAIN_MS, lifeMs(life) / QUESTIONS_PER_LIFE)
}

/** The time from the start to the first question, which does not delay the start. @param random of [0, 1) */
export function firstQuestionMs(life: Life, random: number): number {
  return Math.min(FIRST_QUESTION_MS_MAX, lifeMs(life) / FIRST_QUESTIONS_PER_LIFE) * random
}

/** The delays after failures. @param life of the certificate in use; undefined without one */
export function retriesFor(life: Life | undefined): BackOff {
  const wholeMs = life === undefined ? Infinity : lifeMs(life)
  return {
    firstMs: Math.max(Math.min(FIRST_RETRY_MS, wholeMs / FIRST_RETRIES_PER_LIFE), RETRY_MS_MIN),
    growth: 'doubling',
    maxMs: Math.max(Math.min(RETRY_MS_MAX, wholeMs / LAST_RETRIES_PER_LIFE), RETRY_MS_MIN),
    jitter: { from: 0.75, to: 1.25 },
  }
}

function lifeMs({ fromMs, untilMs }: Life): number {
  return untilMs - fromMs
}
