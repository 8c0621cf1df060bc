// Runs one attack on a live relay and asserts what must hold for every attack. The relay keeps running with all its threads. New
// clients log in and send a packet within two seconds throughout. The bystanders, a pair of clients that has nothing to do with
// the attack, keep their connections. Afterwards memory and descriptors are back within the bound that the attack's file states.
// What becomes of the offenders is asserted by the attack itself.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { waitUntil } from '../support/process.ts'
import type { Observations } from './bystander.ts'
import { pinToAttackersCore, Target, type TargetOptions } from './target.ts'
import { quantile, Witness } from './witness.ts'

export interface Plan extends TargetOptions {
  /** How much resident memory may grow, in MiB: during the attack, and after it. */
  readonly memoryMiB: { readonly during: number; readonly after: number }
  /** How many more descriptors may be open after the attack than before it. */
  readonly descriptorsAfter?: number
  /** New clients cannot log in during this attack; the attack's file says why. */
  readonly refusesNewClients?: boolean
  /** Attacks, and asserts what becomes of the offenders. All that it has opened is closed when it returns. */
  readonly run: (target: Target, context: AttackContext) => Promise<void>
}

/** What an attack may use. */
export interface AttackContext {
  /** Resets this connection when the attack ends, also if the attack fails. */
  readonly keep: <T extends { reset(): void }>(intruder: T) => T
}

/** A remote sees the end of its connection a moment before the relay has counted it. */
export const COUNTED_WITHIN = { timeout: 5_000 }

/** A good client must be able to log in within this time during any attack. */
const LOGIN_MAX_MS = 2_000
const BEFORE_MS = 800
const BACK_WITHIN_MS = 10_000
const SAMPLED_EVERY_MS = 100
/** Logins of the bystander's process that are in progress. */
const BYSTANDER_DESCRIPTORS = 3

/** Share of an attacker's full numbers: 1 is a real attack, the default is what a shared machine can bear. */
const SCALE = Number(process.env['HOSTILE_SCALE'] ?? 0.1)

/** The full number at this scale, but at least `least`. */
export function scaled(full: number, least = 1): number {
  return Math.max(least, Math.round(full * SCALE))
}

/**
 * What connections cost besides over Node's public sockets (`DERPFLEET_CONNECTIONS=sockets`), in MiB, while nobody reads them: each
 * holds two more reads of 64 KiB. 16 MiB are garbage that has grown old, which V8 leaves for as long as little else happens.
 */
export function publicSocketsMiB(connections: number): number {
  return process.env['DERPFLEET_CONNECTIONS'] === 'sockets' ? 16 + connections / 8 : 0
}

export function attack(title: string, plan: Plan): void {
  beforeAll(pinToAttackersCore)
  const kept = new Set<{ reset(): void }>()
  const resetAll = (): void => {
    kept.forEach((connection) => connection.reset())
    kept.clear()
  }
  afterAll(resetAll)
  test(title, { timeout: 120_000 }, async () => {
    await using target = await Target.start(plan)
    await using witness = await Witness.start(target)
    await sleep(BEFORE_MS)
    const before = await witness.observe()
    const usage = { memoryMiB: target.memoryMiB, descriptors: target.descriptors }
    const peak = { ...usage }
    const sampler = setInterval(() => {
      peak.memoryMiB = Math.max(peak.memoryMiB, target.memoryMiB)
      peak.descriptors = Math.max(peak.descriptors, target.descriptors)
    }, SAMPLED_EVERY_MS)
    const keep: AttackContext['keep'] = (connection) => {
      kept.add(connection)
      return connection
    }
    const descriptorsMax = usage.descriptors + (plan.descriptorsAfter ?? 0) + BYSTANDER_DESCRIPTORS
    const untilMs = performance.now() + ATTACK_MS_MIN
    try {
      do {
        await target.startCounting()
        await plan.run(target, { keep })
        resetAll()
        await waitUntil(
          'the connections of the attack are closed',
          () => target.descriptors <= descriptorsMax,
          BACK_WITHIN_MS,
        )
      } while (performance.now() < untilMs)
    } finally {
      clearInterval(sampler)
      resetAll()
    }
    const during = await witness.observe()
    report(title, { before, during, usage, peak })
    assertBystandersUndisturbed(during, plan)
    await assertRelayRecovered(target, plan, usage)
    expect(peak.memoryMiB - usage.memoryMiB, 'growth of memory during the attack, MiB').toBeLessThan(
      plan.memoryMiB.during,
    )
  })
}

interface Usage {
  readonly memoryMiB: number
  readonly descriptors: number
}

function assertBystandersUndisturbed(during: Observations, plan: Plan): void {
  const ends = during.failures.filter((failure) => !failure.startsWith('login'))
  expect(ends, 'ends of the bystanders').toEqual([])
  expect(during.received, 'packets between the bystanders').toBeGreaterThan(0)
  if (plan.refusesNewClients === true) return
  expect(during.failures, 'failed logins during the attack').toEqual([])
  expect(during.loginsMs.length, 'logins during the attack').toBeGreaterThan(0)
  expect(Math.max(...during.loginsMs), 'the slowest login, ms').toBeLessThan(LOGIN_MAX_MS)
}

async function assertRelayRecovered(target: Target, plan: Plan, usage: Usage): Promise<void> {
  const descriptorsMax = usage.descriptors + (plan.descriptorsAfter ?? 0) + BYSTANDER_DESCRIPTORS
  await waitUntil(
    'descriptors and memory are back within bounds',
    () => {
      const { descriptors, memoryMiB } = target
      const grown = memoryMiB - usage.memoryMiB
      if (descriptors > descriptorsMax)
        throw new Error(`${descriptors} descriptors open; expected ${descriptorsMax} at most`)
      if (grown > plan.memoryMiB.after)
        throw new Error(`memory has grown by ${grown} MiB; expected ${plan.memoryMiB.after} at most`)
      return true
    },
    BACK_WITHIN_MS,
  )
  expect((await target.admin('/livez')).status).toBe(200)
  await waitUntil('ready', async () => (await target.admin('/readyz')).status === 200, BACK_WITHIN_MS)
  expect(await target.count('derp_thread_restarts_total'), 'threads that were restarted').toBe(0)
}

function report(
  title: string,
  observed: { before: Observations; during: Observations; usage: Usage; peak: Usage },
): void {
  const { before, during, usage, peak } = observed
  const [was, is] = [before, during].map(({ delaysMs }) => [0.5, 0.99].map((q) => quantile(delaysMs, q)))
  const ratio = ((is?.[1] ?? 0) / (was?.[1] ?? 1)).toFixed(1)
  const ms = (pair: readonly number[] = []): string => pair.map((value) => value.toFixed(2)).join('/')
  process.stdout.write(
    `${title}: bystander p50/p99 ${ms(was)} → ${ms(is)} ms, ratio ${ratio}; ` +
      `slowest of ${during.loginsMs.length} logins ${Math.max(0, ...during.loginsMs).toFixed(0)} ms; ` +
      `memory ${usage.memoryMiB.toFixed(0)} + ${(peak.memoryMiB - usage.memoryMiB).toFixed(0)} MiB; ` +
      `descriptors ${usage.descriptors} + ${peak.descriptors - usage.descriptors}\n`,
  )
}

/** A shorter attack is repeated: new clients have to log in during it, and they do so four times a second. */
const ATTACK_MS_MIN = 1_000

/** Dials in progress at once: enough to keep the relay busy, few enough for its backlog of connections. */
const CONCURRENT_MAX = 32

/** Makes `count` of something, a few at a time. */
export async function many<T>(count: number, make: (at: number) => Promise<T>): Promise<T[]> {
  const made: T[] = []
  let next = 0
  const makeSome = async (): Promise<void> => {
    for (let at = next++; at < count; at = next++) made.push(await make(at))
  }
  await Promise.all(Array.from({ length: CONCURRENT_MAX }, makeSome))
  return made
}
