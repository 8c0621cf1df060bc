// Kicks between two relays without threads: what one asks for goes to the other at once, under a key that its link has proven.

import { expect, it } from 'vitest'
import { KickService, type KickServiceParts } from '#control/kick-service.ts'
import type { RelayView } from '#fleet/fleet-state.ts'
import { Log } from '#ops/log.ts'
import { VerbDenials } from '#ops/verb-denials.ts'
import type { KicksFrom } from '#protocol/kicks-from.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { Counters } from '#relay/counters.ts'
import { EndReason } from '#relay/end-reason.ts'
import { alice, bob, cathy } from '../support/actor.ts'

/** One client is here, and is ended by any kick. */
class Relay {
  readonly bans = new Map<string, number>()
  readonly denials = new VerbDenials()
  readonly service: KickService
  /** Siblings to which a link is up, and how they are reached. */
  readonly linked = new Map<string, (message: Uint8Array) => void>()
  /** Listed siblings. */
  names: readonly string[] = []
  onWake: (names: readonly string[]) => void = () => undefined

  constructor(kicksFrom: KicksFrom, isOpen = false) {
    const counters = new Counters()
    const { bans, denials, linked } = this
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
        ban: (key, forMs) => void bans.set(publicKeyText(key), forMs),
      },
      threads: {
        counters: [counters],
        broadcast: ({ kind }) => kind === 'endKey' && counters.countEnd(EndReason.kicked),
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
    expect(await relay.service.kickAtSiblings(cathy.key, 60)).toEqual([
      { relay: 'other', ended: problem === '' ? 1 : 0, problem },
    ])
  }
  expect([...permitting.bans]).toEqual([[publicKeyText(cathy.key), 60_000]])
  expect([other.bans.size, other.denied, permitting.denied]).toEqual([0, 1, 0])
})

it('an open relay says that it cannot refuse anybody, and ends nothing', async () => {
  const relay = new Relay([])
  relay.linkTo(new Relay('siblings', true))
  const [view] = await relay.service.kickAtSiblings(cathy.key, 60)
  expect(view).toMatchObject({ ended: 0, problem: expect.stringContaining('this relay is open') })
  expect(await relay.service.kickAtSiblings(cathy.key, 0)).toMatchObject([{ ended: 1, problem: '' }])
})

it('a link that was not needed so far is dialled first', async () => {
  const relay = new Relay([])
  relay.names = ['other']
  relay.onWake = (names) => {
    expect(names).toEqual(['other'])
    setTimeout(() => relay.linkTo(new Relay('siblings')), 300)
  }
  expect(await relay.service.kickAtSiblings(cathy.key, 60)).toEqual([
    { relay: 'other', ended: 1, problem: '' },
  ])
})

it('a relay without a link, and one that does not answer, are named', async () => {
  const relay = new Relay([])
  relay.names = ['gone', 'silent']
  relay.linked.set('silent', () => undefined)
  expect(await relay.service.kickAtSiblings(cathy.key, 60)).toEqual([
    { relay: 'gone', ended: 0, problem: expect.stringContaining('was not asked') },
    { relay: 'silent', ended: 0, problem: expect.stringContaining('has not answered') },
  ])
}, 20_000)
