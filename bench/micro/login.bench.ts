// What a login costs without socket and TLS: a session is made, ServerKey is sent, ClientInfo is opened and checked,
// ServerInfo is sealed and sent, the key is registered; then the client disconnects and all of it is undone. The key
// agreement is by far the largest part.

import { expect, test } from 'vitest'
import { actor } from '../../test/support/actor.ts'
import { measure, perOperation } from './per-operation.ts'
import { clientInfoOf, SocketlessRelay } from './socketless-relay.ts'

const LOGINS = 20

test('login and leaving', async ({ bench }) => {
  const relay = new SocketlessRelay()
  const clients = Array.from({ length: LOGINS }, (_, index) => actor(`client ${index}`))
  const logins = clients.map((who) => ({ who, clientInfo: clientInfoOf(who) }))
  const joinAndLeave = (): void => {
    for (const { who, clientInfo } of logins) relay.leave(relay.logIn(who, clientInfo))
  }
  joinAndLeave()
  expect(relay.counters.get('loginsTotal')).toBe(LOGINS)
  expect(relay.counters.get('keysCurrent')).toBe(0)
  await measure(bench('a new key each time', perOperation(LOGINS, joinAndLeave)))
})
