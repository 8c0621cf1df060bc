// What a relay knows of keys without a back end, over real sockets: a back end that is slow, silent or gone, the operator's list
// and denials. Time goes on by itself and by leaps.

import { afterAll, expect, it } from 'vitest'
import { AdmissionService, type AdmissionPolicy } from '#admission/admission-service.ts'
import { newKeyPair } from '#client/derp-client.ts'
import { budgetOf } from '#protocol/budget.ts'
import { readKeyList } from '#protocol/key-list.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import type { AdmissionAnswer } from '#relay/ports.ts'
import { VerifyServer } from '../support/verify-server.ts'

const ends: (() => void)[] = []
afterAll(() => ends.forEach((end) => end()))

const MEMBER = newKeyPair().publicKey
const STRANGER = newKeyPair().publicKey
const GRACE_MS = 60_000

class Asked {
  readonly service: AdmissionService
  /** Added to the time. */
  leapMs = 0
  #id = 0

  constructor(policy: Partial<AdmissionPolicy>) {
    this.service = new AdmissionService({
      policy: {
        verifyUrl: undefined,
        verifyUrlFailOpen: false,
        tailscaledSocket: undefined,
        graceMs: GRACE_MS,
        trustsSiblings: false,
        recheckMs: 300_000,
        ...policy,
      },
      env: {},
      ownKey: newKeyPair().publicKey,
      onOutage: () => undefined,
      onRecovery: () => undefined,
      onFault: (error) => expect.unreachable(String(error)),
      random: () => 0.5,
      now: () => performance.now() + this.leapMs,
    })
    this.service.start()
    ends.push(() => this.service.stop())
  }

  async ask(key: Uint8Array, isHere = false): Promise<AdmissionAnswer> {
    return await new Promise((answered) => {
      this.service.ask(0, { id: this.#id++, key, source: '', withinMs: 10_000, isHere }, answered)
    })
  }

  async result(key: Uint8Array, isHere = false): Promise<AdmissionAnswer['result']> {
    return (await this.ask(key, isHere)).result
  }
}

it('a member is admitted while the back end is gone, until the grace is over; a stranger is not', async () => {
  const backEnd = await VerifyServer.start()
  const asked = new Asked({ verifyUrl: backEnd.url })
  expect(await asked.result(MEMBER)).toBe('allowed')
  await backEnd[Symbol.asyncDispose]()
  // Long after it was admitted, but still here then.
  asked.leapMs += 250_000
  expect(await asked.result(STRANGER)).toBe('unreachable')
  asked.leapMs += GRACE_MS - 2_000
  expect(await asked.result(MEMBER)).toBe('memory')
  expect(await asked.result(STRANGER)).toBe('unreachable')
  asked.leapMs += 4_000
  expect(await asked.result(MEMBER)).toBe('unreachable')
})

it('without a grace nobody is', async () => {
  const backEnd = await VerifyServer.start()
  const asked = new Asked({ verifyUrl: backEnd.url, graceMs: 0 })
  expect(await asked.result(MEMBER)).toBe('allowed')
  await backEnd[Symbol.asyncDispose]()
  asked.leapMs += 40_000
  expect(await asked.result(MEMBER)).toBe('unreachable')
})

it('a key that was admitted long before the outage is not known in it', async () => {
  const backEnd = await VerifyServer.start()
  const asked = new Asked({ verifyUrl: backEnd.url })
  expect(await asked.result(MEMBER)).toBe('allowed')
  asked.leapMs += GRACE_MS + 300_000 + 1_000
  await backEnd[Symbol.asyncDispose]()
  expect(await asked.result(MEMBER)).toBe('unreachable')
})

it.each([[3_000], [undefined]])(
  'a back end that answers in %s ms keeps no member waiting',
  async (delayMs) => {
    await using backEnd = await VerifyServer.start()
    const asked = new Asked({ verifyUrl: backEnd.url })
    expect(await asked.result(MEMBER)).toBe('allowed')
    backEnd.delayMs = delayMs
    asked.leapMs += 40_000
    const startedMs = performance.now()
    expect(await asked.result(MEMBER)).toBe('memory')
    expect(performance.now() - startedMs).toBeLessThan(1_500)
    // The question is dropped, and is not left at the back end.
    await expect.poll(() => backEnd.open, { timeout: 3_000 }).toBe(0)
  },
)

it('a key is asked about once in half a minute, however often it comes', async () => {
  await using backEnd = await VerifyServer.start()
  const asked = new Asked({ verifyUrl: backEnd.url })
  for (let n = 0; n < 20; n++) expect(['allowed', 'memory']).toContain(await asked.result(MEMBER))
  expect(backEnd.requestCount).toBe(1)
  asked.leapMs += 31_000
  expect(await asked.result(MEMBER)).toBe('allowed')
  expect(backEnd.requestCount).toBe(2)
})

it('a refusal counts for ten seconds, and ends what was known', async () => {
  await using backEnd = await VerifyServer.start()
  const asked = new Asked({ verifyUrl: backEnd.url })
  expect(await asked.result(MEMBER)).toBe('allowed')
  backEnd.status = 403
  asked.leapMs += 31_000
  expect(await asked.result(MEMBER)).toBe('denied')
  backEnd.status = 200
  asked.leapMs += 9_000
  expect(await asked.result(MEMBER)).toBe('denied')
  expect(backEnd.requestCount).toBe(2)
  asked.leapMs += 2_000
  expect(await asked.result(MEMBER)).toBe('allowed')
})

it('a client that is here is asked about again, whatever was said at its login', async () => {
  await using backEnd = await VerifyServer.start()
  const asked = new Asked({ verifyUrl: backEnd.url, recheckMs: 4_000 })
  const { recheckInMs } = await asked.ask(MEMBER)
  expect(recheckInMs).toBeGreaterThanOrEqual(3_000)
  expect(recheckInMs).toBeLessThanOrEqual(4_000)
  backEnd.status = 403
  asked.leapMs += 3_000
  expect(await asked.result(MEMBER, true)).toBe('denied')
})

it('the list decides without the back end, and a denial before the list', async () => {
  await using backEnd = await VerifyServer.start()
  const asked = new Asked({ verifyUrl: backEnd.url })
  const other = newKeyPair().publicKey
  const text = `allow ${publicKeyText(MEMBER)}\n${publicKeyText(STRANGER)}\ndeny ${publicKeyText(STRANGER)}\n`
  const read = readKeyList('keys', text)
  asked.service.known.setList('list' in read ? read.list : undefined)
  expect(await asked.result(MEMBER)).toBe('allowed')
  expect(await asked.result(STRANGER)).toBe('denied')
  expect(backEnd.requestCount).toBe(0)
  expect(await asked.result(other)).toBe('allowed')
  expect(backEnd.requestCount).toBe(1)
  asked.service.known.bans.set(MEMBER, { forMs: 5_000, sinceMs: 0, reason: 'ticket 7' })
  expect(await asked.ask(MEMBER)).toEqual({
    result: 'denied_by_operator',
    reason: 'an operator denies it, for 5 s more: ticket 7',
  })
  asked.leapMs += 5_001
  expect(await asked.result(MEMBER)).toBe('allowed')
})

it('a list alone refuses all others', async () => {
  const asked = new Asked({})
  const read = readKeyList('keys', publicKeyText(MEMBER))
  asked.service.known.setList('list' in read ? read.list : undefined)
  expect(await asked.result(MEMBER)).toBe('allowed')
  expect(await asked.ask(STRANGER)).toEqual({ result: 'denied', reason: 'the list of keys does not have it' })
})

it('a flood of strangers pushes no member out of the memory', async () => {
  await using backEnd = await VerifyServer.start()
  const asked = new Asked({ verifyUrl: backEnd.url })
  expect(await asked.result(MEMBER)).toBe('allowed')
  for (let n = 0; n < 20_000; n++) {
    const key = new Uint8Array(32)
    new DataView(key.buffer).setUint32(0, n + 1)
    asked.service.known.memory.noteRefused(key, 'not known')
  }
  backEnd.delayMs = undefined
  asked.leapMs += 40_000
  expect(await asked.result(MEMBER)).toBe('memory')
})

it('the lease comes after the list and before the memory: when it has ended, only a back end admits', async () => {
  const backEnd = await VerifyServer.start()
  const asked = new Asked({ verifyUrl: backEnd.url })
  let leftMs = 20_000
  const rules = {
    find: (key: Uint8Array) => (key === MEMBER ? { isAllowed: true, tenant: undefined, leftMs } : undefined),
    tenants: () => [],
  }
  asked.service.known.setLeases(rules)
  // Without a question, and until it ends.
  expect(await asked.ask(MEMBER)).toMatchObject({ result: 'allowed', recheckInMs: 20_010 })
  expect(backEnd.requestCount).toBe(0)
  leftMs = 0
  expect(await asked.result(MEMBER)).toBe('allowed')
  expect(await asked.result(MEMBER)).toBe('allowed')
  expect(await asked.result(STRANGER)).toBe('allowed')
  expect(await asked.result(STRANGER)).toBe('memory')
  expect(backEnd.requestCount).toBe(3)
  // A back end that is away keeps nobody in whose lease has ended.
  await backEnd[Symbol.asyncDispose]()
  asked.leapMs += 35_000
  expect(await asked.result(STRANGER)).toBe('memory')
  expect(await asked.ask(MEMBER, true)).toMatchObject({
    result: 'denied',
    reason: expect.stringMatching(/has ended/) as string,
  })
})

it('who is denied until it is taken back gets in by no lease and no memory, whether it is here or not', async () => {
  const backEnd = await VerifyServer.start()
  const asked = new Asked({ verifyUrl: backEnd.url })
  const { known } = asked.service
  expect(await asked.result(MEMBER)).toBe('allowed')
  known.bans.set(MEMBER, { forMs: Infinity, sinceMs: 0, reason: '' })
  known.setLeases({ find: () => ({ isAllowed: true, tenant: undefined, leftMs: 60_000 }), tenants: () => [] })
  expect([await asked.result(MEMBER), await asked.result(MEMBER, true)]).toEqual([
    'denied_by_operator',
    'denied_by_operator',
  ])
  known.setLeases(undefined)
  await backEnd[Symbol.asyncDispose]()
  asked.leapMs += 40_000
  expect(await asked.result(MEMBER)).toBe('denied_by_operator')
  known.bans.lift(MEMBER)
  expect(await asked.result(MEMBER)).toBe('memory')
})

it('a lease alone refuses all others, and whom it denies', async () => {
  const asked = new Asked({})
  asked.service.known.setLeases({
    find: (key) => (key === MEMBER ? { isAllowed: false, tenant: undefined, leftMs: -1 } : undefined),
    tenants: () => [],
  })
  expect(await asked.ask(MEMBER)).toEqual({ result: 'denied', reason: 'the lease denies it' })
  expect(await asked.ask(STRANGER)).toEqual({ result: 'denied', reason: 'the lease does not have it' })
})

it('of a key that both have, the list says the tenant, and not the lease', () => {
  const asked = new Asked({})
  const other = newKeyPair().publicKey
  const [member, stranger] = [publicKeyText(MEMBER), publicKeyText(STRANGER)]
  const read = readKeyList('keys', `allow ${member} tenant blue\nallow ${stranger}\n`)
  const { known } = asked.service
  known.setList('list' in read ? read.list : undefined)
  const rule = { isAllowed: true, tenant: 'red', leftMs: 1_000 }
  known.setLeases({ find: () => rule, tenants: () => [MEMBER, STRANGER, other].map((key) => [key, 'red']) })
  expect([MEMBER, STRANGER, other].map((key) => known.tenantOf(key))).toEqual(['blue', undefined, 'red'])
  expect([...known.tenants()].map(([key, tenant]) => [publicKeyText(key), tenant])).toEqual([
    [member, 'blue'],
    [publicKeyText(other), 'red'],
  ])
})

it('of what is said of a key, the list counts before the lease, and both before the back end', async () => {
  await using backEnd = await VerifyServer.start()
  const asked = new Asked({ verifyUrl: backEnd.url })
  const of = async (key: Uint8Array): Promise<number | undefined> =>
    (await asked.ask(key)).budget?.bytesPerSecond
  expect(await of(MEMBER)).toBeUndefined()
  backEnd.answer = '{"Allow":true,"BytesPerSecond":10000,"packetspersecond":null}'
  asked.leapMs += 31_000
  expect(await of(MEMBER)).toBe(10_000)
  const rule = { isAllowed: true, tenant: undefined, leftMs: 60_000, budget: budgetOf(20_000, undefined) }
  asked.service.known.setLeases({ find: () => rule, tenants: () => [] })
  expect(await of(MEMBER)).toBe(20_000)
  const read = readKeyList('keys', `${publicKeyText(MEMBER)} bytes-per-second 30000`)
  asked.service.known.setList('list' in read ? read.list : undefined)
  expect([await of(MEMBER), await of(STRANGER)]).toEqual([30_000, 20_000])
})

it('what the back end said of a key is known while it cannot be asked', async () => {
  const backEnd = await VerifyServer.start()
  const asked = new Asked({ verifyUrl: backEnd.url })
  backEnd.answer = '{"Allow":true,"PacketsPerSecond":50}'
  expect((await asked.ask(MEMBER)).budget).toEqual(budgetOf(undefined, 50))
  expect((await asked.ask(MEMBER)).budget).toEqual(budgetOf(undefined, 50))
  await backEnd[Symbol.asyncDispose]()
  asked.leapMs += 31_000
  expect(await asked.ask(MEMBER)).toMatchObject({ result: 'memory', budget: budgetOf(undefined, 50) })
})

it.each([
  '{"Allow":true,"BytesPerSecond":"fast"}',
  '{"Allow":true,"BytesPerSecond":0,"PacketsPerSecond":-1}',
  '{"Allow":true,"BytesPerSecond":8191.5}',
  '{"Allow":true,"PacketsPerSecond":{"Allow":false}}',
  '{"Allow":true,"PacketsPerSecond":[7]}',
])('a budget that is none is passed over, as all other fields are: %s', async (answer) => {
  await using backEnd = await VerifyServer.start()
  const asked = new Asked({ verifyUrl: backEnd.url })
  backEnd.answer = answer
  expect(await asked.ask(MEMBER)).toMatchObject({ result: 'allowed', budget: undefined })
})
