// One attack on a live relay, and what must hold whatever the attack is: the relay runs on with all its threads, somebody
// new logs in and sends within two seconds all the while, the pair that has nothing to do with it keeps its connections,
// and afterwards memory and descriptors are back within the bound that the attack's file states. What became of the
// offender is for the attack itself to assert.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { waitUntil } from '../support/process.ts'
import type { Testimony } from './bystander.ts'
import { goToAttackersCore, Target, type TargetOptions } from './target.ts'
import { quantile, Witness } from './witness.ts'

export interface Plan extends TargetOptions {
  /** What resident memory may have grown by, in MiB: while it lasts, and when all is over. */
  readonly memoryMiB: { readonly during: number; readonly after: number }
  /** Descriptors that may be open more than before, when all is over. */
  readonly descriptorsAfter?: number
  /** What nobody new can be promised: see the file. */
  readonly isClosedToOthers?: boolean
  /** Attacks, and says what became of the offenders; whatever it opened is closed when it returns. */
  readonly run: (target: Target, stage: Stage) => Promise<void>
}

/** Whom an attack sends. */
export interface Stage {
  /** Closes these at the end, whatever happens. */
  readonly keep: <T extends { reset(): void }>(intruder: T) => T
}

/** A remote sees its end a moment before the relay has counted it. */
export const COUNTED_WITHIN = { timeout: 5_000 }

/** What a good client must be able to do within this time, whatever goes on. */
const LOGIN_MAX_MS = 2_000
const BEFORE_MS = 800
const BACK_WITHIN_MS = 10_000
const SAMPLED_EVERY_MS = 100
/** The bystander's own logins come and go. */
const BYSTANDER_DESCRIPTORS = 3

/** The share of the full numbers that is sent: 1 is what an attacker would do, the default what a shared machine bears. */
const SCALE = Number(process.env['HOSTILE_SCALE'] ?? 0.1)

/** So many of them, at this scale; at least `least`. */
export function scaled(full: number, least = 1): number {
  return Math.max(least, Math.round(full * SCALE))
}

export function attack(title: string, plan: Plan): void {
  beforeAll(goToAttackersCore)
  const kept = new Set<{ reset(): void }>()
  afterAll(() => kept.forEach((one) => one.reset()))
  test(title, { timeout: 120_000 }, async () => {
    await using target = await Target.start(plan)
    await using witness = await Witness.start(target)
    await sleep(BEFORE_MS)
    const before = await witness.testify()
    const vitals = { memoryMiB: target.memoryMiB, descriptors: target.descriptors }
    const peak = { ...vitals }
    const sampler = setInterval(() => {
      peak.memoryMiB = Math.max(peak.memoryMiB, target.memoryMiB)
      peak.descriptors = Math.max(peak.descriptors, target.descriptors)
    }, SAMPLED_EVERY_MS)
    const keep: Stage['keep'] = (one) => {
      kept.add(one)
      return one
    }
    const leave = (): void => {
      kept.forEach((one) => one.reset())
      kept.clear()
    }
    const descriptorsMax = vitals.descriptors + (plan.descriptorsAfter ?? 0) + BYSTANDER_DESCRIPTORS
    const untilMs = performance.now() + ATTACK_MS_MIN
    try {
      do {
        await target.begin()
        await plan.run(target, { keep })
        leave()
        await waitUntil('none is left', () => target.descriptors <= descriptorsMax, BACK_WITHIN_MS)
      } while (performance.now() < untilMs)
    } finally {
      clearInterval(sampler)
      leave()
    }
    const during = await witness.testify()
    report(title, { before, during, vitals, peak })
    judgeBystanders(during, plan)
    await judgeRelay(target, plan, vitals)
    expect(peak.memoryMiB - vitals.memoryMiB, 'MiB more while it lasted').toBeLessThan(plan.memoryMiB.during)
  })
}

interface Vitals {
  readonly memoryMiB: number
  readonly descriptors: number
}

function judgeBystanders(during: Testimony, plan: Plan): void {
  const ends = during.failures.filter((failure) => !failure.startsWith('login'))
  expect(ends, 'the pair that has nothing to do with it').toEqual([])
  expect(during.received, 'packets of that pair').toBeGreaterThan(0)
  if (plan.isClosedToOthers === true) return
  expect(during.failures, 'logins meanwhile').toEqual([])
  expect(during.loginsMs.length, 'logins meanwhile').toBeGreaterThan(0)
  expect(Math.max(...during.loginsMs), 'the slowest login, ms').toBeLessThan(LOGIN_MAX_MS)
}

async function judgeRelay(target: Target, plan: Plan, vitals: Vitals): Promise<void> {
  const descriptorsMax = vitals.descriptors + (plan.descriptorsAfter ?? 0) + BYSTANDER_DESCRIPTORS
  await waitUntil(
    'descriptors and memory are back',
    () => {
      const { descriptors, memoryMiB } = target
      const grown = memoryMiB - vitals.memoryMiB
      if (descriptors > descriptorsMax) throw new Error(`${descriptors} descriptors, not ${descriptorsMax}`)
      if (grown > plan.memoryMiB.after) throw new Error(`${grown} MiB more, not ${plan.memoryMiB.after}`)
      return true
    },
    BACK_WITHIN_MS,
  )
  expect((await target.admin('/livez')).status).toBe(200)
  await waitUntil('ready', async () => (await target.admin('/readyz')).status === 200, BACK_WITHIN_MS)
  expect(await target.count('derp_thread_restarts_total'), 'threads that died').toBe(0)
}

function report(
  title: string,
  seen: { before: Testimony; during: Testimony; vitals: Vitals; peak: Vitals },
): void {
  const { before, during, vitals, peak } = seen
  const [was, is] = [before, during].map(({ delaysMs }) => [0.5, 0.99].map((q) => quantile(delaysMs, q)))
  const ratio = ((is?.[1] ?? 0) / (was?.[1] ?? 1)).toFixed(1)
  const ms = (pair: readonly number[] = []): string => pair.map((value) => value.toFixed(2)).join('/')
  process.stdout.write(
    `${title}: bystander p50/p99 ${ms(was)} → ${ms(is)} ms, ratio ${ratio}; ` +
      `slowest of ${during.loginsMs.length} logins ${Math.max(0, ...during.loginsMs).toFixed(0)} ms; ` +
      `memory ${vitals.memoryMiB.toFixed(0)} + ${(peak.memoryMiB - vitals.memoryMiB).toFixed(0)} MiB; ` +
      `descriptors ${vitals.descriptors} + ${peak.descriptors - vitals.descriptors}\n`,
  )
}

/** A shorter attack is made again: somebody new has to log in meanwhile, and comes four times a second. */
const ATTACK_MS_MIN = 1_000

/** Dials under way at once: enough to keep the relay busy, few enough for its queue of connections. */
const UNDER_WAY_MAX = 32

/** So many of them, made a few at a time. */
export async function many<T>(count: number, make: (at: number) => Promise<T>): Promise<T[]> {
  const made: T[] = []
  let next = 0
  const makeSome = async (): Promise<void> => {
    for (let at = next++; at < count; at = next++) made.push(await make(at))
  }
  await Promise.all(Array.from({ length: UNDER_WAY_MAX }, makeSome))
  return made
}
