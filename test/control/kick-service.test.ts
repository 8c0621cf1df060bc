// Kicks between two relays without threads: what one asks for goes to the other at once, under a key that its link has proven.

import { expect, it } from 'vitest'
import { Bans, BANS_MAX } from '#admission/bans.ts'
import { KickService, type KickServiceParts } from '#control/kick-service.ts'
import type { RelayView } from '#fleet/fleet-state.ts'
import type { KeyOrder } from '#fleet/kick.ts'
import { Log } from '#ops/log.ts'
import { VerbDenials } from '#ops/verb-denials.ts'
import type { KicksFrom } from '#protocol/kicks-from.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { Counters } from '#relay/counters.ts'
import { EndReason } from '#relay/end-reason.ts'
import { alice, bob, cathy } from '../support/actor.ts'

const KICK: KeyOrder = { kick: 'ask', key: cathy.key, seconds: 60 }
const DENIAL: KeyOrder = { kick: 'deny', key: cathy.key, seconds: undefined, reason: 'ticket 7' }
const ALLOWANCE: KeyOrder = { kick: 'allow', key: cathy.key }

/** One client is here, and is ended by any kick. */
class Relay {
  readonly bans = new Bans(() => 0)
  /** What the threads were told of keys: for how long each is refused. */
  readonly told: number[] = []
  readonly denials = new VerbDenials()
  readonly service: KickService
  /** Siblings to which a link is up, and how they are reached. */
  readonly linked = new Map<string, (message: Uint8Array) => void>()
  /** Listed siblings. */
  names: readonly string[] = []
  onWake: (names: readonly string[]) => void = () => undefined

  constructor(kicksFrom: KicksFrom, isOpen = false) {
    const counters = new Counters()
    const { bans, denials, linked, told } = this
    const relays = (): readonly RelayView[] =>
      this.names.map((name) => ({ name, isListed: true, isOwn: false }) as RelayView)
    const fleet: KickServiceParts['fleet'] = {
      fleet: {
        get relays() {
          return relays()
        },
      },
      get linked() {
        return [...linked.keys()]
      },
      wake: (names) => this.onWake(names),
      send: (name, message) => {
        linked.get(name)?.(message)
        return linked.has(name)
      },
    }
    this.service = new KickService({
      admission: {
        isOff: isOpen,
        kicksFrom,
        bans,
        keepBan: async () => await Promise.resolve(true),
      },
      threads: {
        counters: [counters],
        broadcast: (message) => {
          if (message.kind !== 'endKey') return
          told.push(message.forMs)
          counters.countEnd(EndReason.kicked)
        },
        handled: async () => await Promise.resolve(),
      },
      fleet,
      denials,
      log: Log.open('error', 'json'),
    })
  }

  get denied(): number {
    const [family] = this.denials.families()
    return family?.samples.find(({ labels }) => labels['reason'] === 'sibling')?.value ?? -1
  }

  /** This relay, whose key is alice's, has a link to another, whose key is bob's. */
  linkTo(other: Relay): void {
    this.linked.set('other', (message) =>
      other.service.take(alice.key, message, {
        send: (answer) => {
          if (answer.kind === 'answerSibling')
            this.service.take(bob.key, answer.state, { send: () => undefined })
        },
      }),
    )
  }
}

it('asks a sibling that takes kicks from it, and one of another key does nothing', async () => {
  const permitting = new Relay([publicKeyText(alice.key)])
  const other = new Relay([publicKeyText(bob.key)])
  const relay = new Relay([])
  for (const [sibling, problem] of [
    [permitting, ''],
    [other, 'it takes no kicks from this relay; see -kicks-from'],
  ] as const) {
    relay.linkTo(sibling)
    expect(await relay.service.askSiblings(KICK)).toEqual([
      { relay: 'other', ended: problem === '' ? 1 : 0, problem },
    ])
  }
  expect(permitting.bans.find(cathy.key)).toMatchObject({ forMs: 60_000, reason: '' })
  expect([other.bans.all().length, other.denied, permitting.denied]).toEqual([0, 1, 0])
})

it('an open relay says that it cannot refuse anybody, and ends nothing', async () => {
  const relay = new Relay([])
  relay.linkTo(new Relay('siblings', true))
  for (const order of [KICK, DENIAL]) {
    const [view] = await relay.service.askSiblings(order)
    expect(view).toMatchObject({ ended: 0, problem: expect.stringContaining('this relay is open') })
  }
  expect(await relay.service.askSiblings({ ...KICK, seconds: 0 })).toMatchObject([{ ended: 1, problem: '' }])
  expect(await relay.service.askSiblings(ALLOWANCE)).toMatchObject([{ ended: 0, problem: '' }])
})

it('a sibling denies without an end until it is asked to allow, for the reason that it is told', async () => {
  const [relay, other] = [new Relay([]), new Relay('siblings')]
  relay.linkTo(other)
  expect(await relay.service.askSiblings(DENIAL)).toEqual([{ relay: 'other', ended: 1, problem: '' }])
  expect(other.bans.find(cathy.key)).toMatchObject({ forMs: Infinity, reason: 'ticket 7' })
  // A kick of another operator does not let it in again, on the lane neither.
  await relay.service.askSiblings(KICK)
  expect(other.bans.find(cathy.key)?.forMs).toBe(Infinity)
  expect(other.told).toEqual([Infinity, Infinity])
  await relay.service.askSiblings(ALLOWANCE)
  expect(other.bans.find(cathy.key)).toBeUndefined()
  // Who was not denied is not ended.
  expect(await relay.service.askSiblings(ALLOWANCE)).toEqual([{ relay: 'other', ended: 0, problem: '' }])
  expect(other.told).toEqual([Infinity, Infinity, 0])
})

it('where there is no room, nothing is done and it says so', async () => {
  const relay = new Relay([])
  for (let n = 0; n < BANS_MAX; n++) {
    const key = new Uint8Array(32)
    new DataView(key.buffer).setUint32(0, n + 1)
    relay.bans.set(key, { forMs: Infinity, sinceMs: 0, reason: '' })
  }
  const refusal = expect.stringMatching(/^10000 keys are denied already/) as string
  for (const order of [KICK, DENIAL]) expect(await relay.service.obey(order)).toEqual({ refusal })
  expect(relay.told).toEqual([])
})

it('a link that was not needed so far is dialled first', async () => {
  const relay = new Relay([])
  relay.names = ['other']
  relay.onWake = (names) => {
    expect(names).toEqual(['other'])
    setTimeout(() => relay.linkTo(new Relay('siblings')), 300)
  }
  expect(await relay.service.askSiblings(KICK)).toEqual([{ relay: 'other', ended: 1, problem: '' }])
})

it('a relay without a link, and one that does not answer, are named', async () => {
  const relay = new Relay([])
  relay.names = ['gone', 'silent']
  relay.linked.set('silent', () => undefined)
  expect(await relay.service.askSiblings(KICK)).toEqual([
    { relay: 'gone', ended: 0, problem: expect.stringContaining('was not asked') },
    { relay: 'silent', ended: 0, problem: expect.stringContaining('has not answered') },
  ])
}, 20_000)
