// What a login costs without socket and TLS: a session is made, ServerKey greets, ClientInfo is opened and checked,
// ServerInfo is sealed and written, the key is listed; then the client hangs up and all of it is undone. The key
// agreement is by far the largest part.

import { expect, test } from 'vitest'
import { actor } from '../../test/support/actor.ts'
import { measure, perOperation } from './per-operation.ts'
import { helloOf, SocketlessRelay } from './socketless-relay.ts'

const LOGINS = 20

test('login and leaving', async ({ bench }) => {
  const relay = new SocketlessRelay()
  const clients = Array.from({ length: LOGINS }, (_, index) => actor(`client ${index}`))
  const hellos = clients.map((who) => ({ who, hello: helloOf(who) }))
  const comeAndGo = (): void => {
    for (const { who, hello } of hellos) relay.leave(relay.logIn(who, hello))
  }
  comeAndGo()
  expect(relay.counters.get('loginsTotal')).toBe(LOGINS)
  expect(relay.counters.get('keysCurrent')).toBe(0)
  await measure(bench('a new key each time', perOperation(LOGINS, comeAndGo)))
})
