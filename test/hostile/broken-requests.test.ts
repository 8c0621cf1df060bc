// Attack: malformed requests, and invalid upgrades.
// Stage: HTTP head, upgrade; TLS and plain.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 32 MiB; no descriptor.
// Offender: answered with an error or closed, at once; never gets a session.

import { expect } from 'vitest'
import { attack, many, scaled, type AttackContext } from './attack.ts'
import { Intruder } from './intruder.ts'
import type { Target } from './target.ts'

const HOST = 'Host: localhost\r\n'
const SOCKET = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: derp\r\n`
const REQUESTS: readonly string[] = [
  '\0\0\0\0\r\n\r\n',
  'GET\r\n\r\n',
  `GET /derp SMTP/1.1\r\n${HOST}\r\n`,
  `GET /derp HTTP/1.1\r\n\r\n`,
  `GET /derp HTTP/1.1\r\n${HOST}no colon\r\n\r\n`,
  `GET /derp HTTP/1.1\r\n${HOST}: no name\r\n\r\n`,
  `GET /derp HTTP/1.1\r\n${HOST}bad name: x\r\n\r\n`,
  `CONNECT localhost:443 HTTP/1.1\r\n${HOST}\r\n`,
  `GET /derp HTTP/1.1\r\n${HOST}${'a: b\r\n'.repeat(200)}\r\n`,
  `GET /derp HTTP/1.1\r\n${HOST}Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n`,
  `GET /derp HTTP/1.1\r\n${HOST}${SOCKET}Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
  `GET /derp HTTP/1.1\r\n${HOST}${SOCKET}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n`,
  `GET /derp HTTP/1.1\r\n${HOST}${SOCKET}Sec-WebSocket-Version: 13\r\n\r\n`,
  `GET /nowhere HTTP/1.1\r\n${HOST}Upgrade: DERP\r\nConnection: Upgrade\r\n\r\n`,
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
]

async function sendRequests(target: Target, context: AttackContext): Promise<void> {
  const sessions = await target.count('derp_sessions_ended_total')
  const logins = await target.count('derp_logins_total')
  await many(REQUESTS.length * scaled(100), async (at) => {
    const request = REQUESTS[at % REQUESTS.length] ?? ''
    const offender = context.keep(await Intruder.connect(target))
    await offender.send(request)
    expect(await offender.until(() => offender.receivedBytes > 0, 5_000), JSON.stringify(request)).toBe(true)
    expect(offender.received.toString('latin1'), request).toMatch(/^$|^HTTP\/1.1 [2-5]\d\d /)
    expect(offender.received.includes('DERP\u{1F511}'), request).toBe(false)
    offender.socket.end()
    expect(await offender.ended(5_000), `${JSON.stringify(request)} ends`).toBe(true)
  })
  // Only bystanders have opened and closed sessions.
  const closedSessions = (await target.count('derp_sessions_ended_total')) - sessions
  expect(closedSessions).toBeLessThanOrEqual((await target.count('derp_logins_total')) - logins + 1)
}

const memoryMiB = { during: 32, after: 32 }
attack('malformed requests', { memoryMiB, run: sendRequests })
attack('malformed requests on a plain port', { portKind: 'plain', memoryMiB, run: sendRequests })
