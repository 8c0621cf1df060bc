import { describe, expect, it } from 'vitest'
import { adoptSockets, InheritedDescriptors } from '#control/inherited-listeners.ts'
import type { Settings } from '#config/settings.ts'
import type { InheritedSocket } from '#transport/inherited-sockets.ts'
import type { Native } from '#transport/native.ts'

// Only compared with undefined here.
const native = {} as Native

const settings = {
  derp: { host: '::', port: 443 },
  http: { host: '::', port: 80 },
  stun: { host: '::', port: 3478 },
  admin: { host: '127.0.0.1', port: 9090 },
  threadCount: 2,
} as Settings

function socket(
  descriptor: number,
  kind: 'tcp' | 'udp',
  port: number,
  more: Partial<InheritedSocket> = {},
): InheritedSocket {
  return { descriptor, kind, port, host: '::', name: '', ...more }
}

function adopt(
  sockets: readonly InheritedSocket[],
  given: Partial<Settings> = {},
  calls: { native: Native | undefined } = { native },
) {
  return adoptSockets({ ...settings, ...given }, { sockets, problems: [] }, calls.native)
}

describe('each socket is for the listener', () => {
  it('of its protocol and port, whatever its name is', () => {
    const name = 'derpfleet.socket'
    const { listeners, settings: adopted } = adopt([
      socket(3, 'tcp', 443, { name }),
      socket(4, 'tcp', 80, { name, host: '0.0.0.0' }),
      socket(5, 'udp', 3478, { name }),
      socket(6, 'tcp', 9090, { name, host: '127.0.0.1' }),
    ])
    const numbers = Object.entries(listeners).map(([listener, all]) => [listener, all[0]?.descriptor])
    expect(numbers).toEqual([
      ['derp', 3],
      ['http', 4],
      ['stun', 5],
      ['admin', 6],
    ])
    expect(adopted.http).toEqual({ host: '0.0.0.0', port: 80 })
  })

  it('that its name says, also where the port is left to the system', () => {
    const { listeners, settings: adopted } = adopt([socket(3, 'tcp', 8443, { name: 'derp' })], {
      derp: { host: '::', port: 0 },
    })
    expect(listeners.derp[0]?.descriptor).toBe(3)
    expect(adopted.derp).toEqual({ host: '::', port: 8443 })
  })
})

describe('prevents the start, and says why, with a socket', () => {
  it.each([
    [
      'on another port',
      socket(3, 'tcp', 8443, { name: 'derp' }),
      /socket 3 "derp" \(tcp \[::\]:8443\) is for DERP, but -a says \[::\]:443/,
    ],
    ['on more addresses', socket(3, 'tcp', 9090), /is for admin, but -admin says 127.0.0.1:9090/],
    ['of another protocol', socket(3, 'tcp', 3478, { name: 'stun' }), /is for STUN, which needs udp/],
    [
      'for no listener',
      socket(3, 'udp', 53, { name: 'dns' }),
      /socket 3 "dns" .* is for no listener of this relay, expected STUN on port 3478/,
    ],
  ])('%s', (_, given, message) => {
    expect(() => adopt([given])).toThrow(message)
  })

  it('for a listener that is switched off', () => {
    const given = socket(3, 'tcp', 80, { name: 'http' })
    expect(() => adopt([given], { http: undefined })).toThrow(/is for HTTP, which the options switch off/)
  })

  it('too many', () => {
    const three = [3, 4, 5].map((descriptor) => socket(descriptor, 'tcp', 443))
    expect(() => adopt(three)).toThrow(
      /3 inherited sockets are for DERP, expected at most one for each of the 2 threads/,
    )
    expect(() => adopt([socket(3, 'tcp', 80), socket(4, 'tcp', 80)])).toThrow(
      /2 inherited sockets are for HTTP, expected one/,
    )
  })

  it('of several kinds, all in one message', () => {
    const given = [socket(3, 'tcp', 1), socket(4, 'udp', 2)]
    expect(() => adopt(given)).toThrow(/socket 3 .*; socket 4 /)
  })
})

describe('several threads and one socket', () => {
  it('share it with native calls', () => {
    const { settings: adopted, warning, listeners } = adopt([socket(3, 'tcp', 443)])
    expect([adopted.threadCount, warning]).toEqual([2, undefined])
    const descriptors = new InheritedDescriptors(listeners.derp, native)
    expect([0, 1, 0].map((thread) => descriptors.take(thread)?.descriptor)).toEqual([3, 3, 3])
  })

  it('become one thread without, and the socket is handed out once', () => {
    const {
      settings: adopted,
      warning,
      listeners,
    } = adopt([socket(3, 'tcp', 443)], {}, { native: undefined })
    expect(adopted.threadCount).toBe(1)
    expect(warning).toMatch(/^2 relay threads cannot share 1 inherited DERP socket without native calls/)
    const descriptors = new InheritedDescriptors(listeners.derp, undefined)
    expect([0, 0].map((thread) => descriptors.take(thread)?.descriptor)).toEqual([3, undefined])
  })

  it('have a socket each without, if there are as many', () => {
    const both = [socket(3, 'tcp', 443), socket(4, 'tcp', 443)]
    const { settings: adopted, listeners } = adopt(both, {}, { native: undefined })
    expect(adopted.threadCount).toBe(2)
    const descriptors = new InheritedDescriptors(listeners.derp, undefined)
    expect([0, 1].map((thread) => descriptors.take(thread)?.descriptor)).toEqual([3, 4])
  })
})
