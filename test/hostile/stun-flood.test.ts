// Attack: datagrams as fast as possible: requests, requests of other software, damaged requests, answers, noise.
// Stage: STUN.
// Promise: a good request is answered within 2 s; a good client logs in within 2 s and sends a packet.
// Bound: 24 MiB; no descriptor.
// Offender: answered only if the request is that of a Tailscale client, and with few bytes more than it has sent.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { askStun } from '#client/stun-request.ts'
import { bindingRequest } from '#protocol/stun.ts'
import * as vectors from '../vectors/stun.ts'
import { attack } from './attack.ts'

const ATTACK_MS = 3_000
const IGNORED = [
  ...Object.values(vectors.ignoredRequests),
  vectors.rfc5769.request,
  vectors.answers.ipv4.message,
  vectors.request.subarray(0, 39),
  Buffer.concat([vectors.request, Buffer.alloc(1)]),
  Buffer.alloc(0),
  randomBytes(1_400),
]

attack('a flood of STUN datagrams', {
  memoryMiB: { during: 24, after: 24 },
  run: async (target) => {
    const [good, bad] = [createSocket('udp4'), createSocket('udp4')]
    const answers = { good: 0, goodBytes: 0, bad: 0 }
    good.on('message', (message) => ((answers.good += 1), (answers.goodBytes += message.length)))
    bad.on('message', () => (answers.bad += 1))
    for (const socket of [good, bad]) {
      socket.connect(target.stunPort, '127.0.0.1')
      await once(socket, 'connect')
    }
    const untilMs = performance.now() + ATTACK_MS
    let sent = 0
    while (performance.now() < untilMs) {
      for (let at = 0; at < 20; at++) {
        good.send(bindingRequest(randomBytes(12)))
        bad.send(IGNORED[sent++ % IGNORED.length] ?? Buffer.alloc(1))
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect((await askStun('127.0.0.1', target.stunPort, 2_000)).ip).toBe('127.0.0.1')
    expect(answers.bad).toBe(0)
    expect(answers.good).toBeGreaterThan(0)
    expect(answers.goodBytes / answers.good).toBeLessThanOrEqual(44)
    good.close()
    bad.close()
  },
})
