// Attack: requests that are none, and upgrades that are none.
// Stage: HTTP head, upgrade; TLS and plain.
// Promise: a good client logs in within 2 s and sends a packet.
// Bound: 32 MiB; no descriptor.
// Offender: answered with an error or closed, at once; never a session of it.

import { expect } from 'vitest'
import { attack, many, scaled, type Stage } from './attack.ts'
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

async function ask(target: Target, stage: Stage): Promise<void> {
  const sessions = await target.count('derp_sessions_ended_total')
  const logins = await target.count('derp_logins_total')
  await many(REQUESTS.length * scaled(100), async (at) => {
    const request = REQUESTS[at % REQUESTS.length] ?? ''
    const liar = stage.keep(await Intruder.enter(target))
    await liar.say(request)
    expect(await liar.until(() => liar.receivedBytes > 0, 5_000), JSON.stringify(request)).toBe(true)
    expect(liar.received.toString('latin1'), request).toMatch(/^$|^HTTP\/1.1 [2-5]\d\d /)
    expect(liar.received.includes('DERP\u{1F511}'), request).toBe(false)
    liar.socket.end()
    expect(await liar.ended(5_000), `${JSON.stringify(request)} ends`).toBe(true)
  })
  // Bystanders alone have come and gone.
  const more = (await target.count('derp_sessions_ended_total')) - sessions
  expect(more).toBeLessThanOrEqual((await target.count('derp_logins_total')) - logins + 1)
}

const memoryMiB = { during: 32, after: 32 }
attack('requests that are none', { memoryMiB, run: ask })
attack('requests that are none on a plain port', { door: 'plain', memoryMiB, run: ask })
