import { expect, it } from 'vitest'
import { pingFrame } from '#protocol/frames.ts'
import { EndReason } from '#relay/end-reason.ts'
import { alice, bob } from '../support/actor.ts'
import { undecided } from '../support/undecided-relay.ts'
import * as login from '../vectors/login.ts'

it.each([
  ['unreachable', EndReason.admissionUnreachable, 'admissionsUnreachable'],
  ['denied', EndReason.admissionRefused, 'admissionsDenied'],
  ['denied_by_operator', EndReason.deniedByOperator, 'admissionsByOperator'],
] as const)(
  'a client that is %s is refused for that reason, and the cause is logged',
  (result, reason, counter) => {
    const { relay, asked } = undecided()
    const client = relay.connect(alice).send(login.clientInfo.frame)
    client.take()
    asked[0]?.answer({ result, reason: 'the verifier said so' })
    expect(client.take()).toEqual([])
    expect(client.isClosed).toBe(true)
    expect(relay.ends).toMatchObject([{ reason, cause: 'the verifier said so' }])
    expect(relay.count(counter)).toBe(1)
  },
)

it('a session whose answer is too late ends by the time limit, with the cause', () => {
  const { relay, asked } = undecided()
  relay.connect(alice).send(login.clientInfo.frame).settled()
  asked[0]?.answer({ result: 'unreachable', reason: 'no turn in 10 s', isLate: true })
  expect(relay.ends).toMatchObject([{ reason: EndReason.admissionTimeout, cause: 'no turn in 10 s' }])
})

it('a client that is admitted although the back end failed is counted apart', () => {
  const { relay, asked } = undecided()
  const client = relay.connect(alice).send(login.clientInfo.frame)
  client.take()
  asked[0]?.answer({ result: 'failed_open', reason: 'nobody could be asked' })
  expect(client.take()).toEqual(['ServerInfo version 2'])
  expect(
    ['admissionsFailedOpen', 'admissionsAllowed'].map((name) => relay.count(name as 'admissionsAllowed')),
  ).toEqual([1, 0])
})

it('the login time limit covers admission, which is told the time left and cancelled at the end', () => {
  const { relay, asked } = undecided()
  const client = relay.connect(alice)
  relay.pass(4_000)
  client.send(login.clientInfo.frame).settled()
  expect(asked[0]?.request.withinMs).toBeCloseTo(6_000, -2)
  relay.pass(5_500)
  expect([client.isClosed, asked[0]?.isCancelled]).toEqual([false, false])
  relay.pass(2_000)
  expect([client.isClosed, asked[0]?.isCancelled]).toEqual([true, true])
  expect(relay.lastEnd).toBe(EndReason.admissionTimeout)
})

it('a client that waits for admission is read on for a few frames, so that its end is noticed', () => {
  const { relay, asked } = undecided()
  const [modest, greedy] = [relay.connect(alice), relay.connect(bob)]
  modest.send(login.clientInfo.frame, pingFrame(new Uint8Array(8))).settled()
  greedy.send(greedy.clientInfo()).settled()
  for (let sent = 0; sent <= 4_096; sent += 13) greedy.link.send(pingFrame(new Uint8Array(8)))
  expect([modest.link.isPaused, greedy.link.isPaused]).toEqual([false, true])
  for (const one of asked) one.decide(true)
  expect([modest.link.isPaused, greedy.link.isPaused]).toEqual([false, false])
})
