// How a WebSocket link ends while its remote reads nothing, over real sockets. All else is tested on a live relay.

import { afterEach, expect, it } from 'vitest'
import type { LinkListener } from '#relay/ports.ts'
import { DROPPED_BYTES_MAX } from '#transport/graceful-close.ts'
import { WebSocketLink } from '#transport/web-socket-link.ts'
import { AcceptorHarness, type AcceptorKind } from '../support/acceptor-harness.ts'

let harness: AcceptorHarness
afterEach(async () => await harness.close())

it.each<AcceptorKind['way']>(['handles', 'sockets'])(
  'over %s, a remote that goes on sending while the last burst is not taken is read no further than its limit',
  async (way) => {
    harness = await new AcceptorHarness({ way, tls: undefined }).open()
    const { remote, accepted } = await harness.pair()
    const link = new WebSocketLink(accepted.connection, Buffer.alloc(0), () => performance.now())
    let isClosed = false
    const listener: LinkListener = {
      receive: () => undefined,
      written: () => undefined,
      closed: () => (isClosed = true),
    }
    link.attach(listener)
    remote.pause()
    link.write(Buffer.alloc(20_000_000), true)
    link.close()
    const chunk = Buffer.alloc(65_536)
    let sentBytes = 0
    while (!remote.destroyed && !isClosed) {
      sentBytes += chunk.length
      remote.write(chunk)
      await new Promise((resolve) => void setImmediate(resolve))
    }
    // The rest is what the system has buffered.
    expect(sentBytes).toBeGreaterThan(DROPPED_BYTES_MAX)
    expect(sentBytes).toBeLessThan(DROPPED_BYTES_MAX + 16_777_216)
  },
)
