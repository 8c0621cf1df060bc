// A connection's options: their defaults, and errors that name invalid ones.

import { expect, test } from 'vitest'
import { resolveTarget, type TargetOptions } from '#client/target.ts'

test.each<[TargetOptions, Record<string, unknown>]>([
  [
    { host: 'derp1.lab' },
    { host: 'derp1.lab', port: 443, hostField: 'derp1.lab', dialAddress: 'derp1.lab', tls: {}, way: 'auto' },
  ],
  [
    { host: 'derp1.lab', port: 8443 },
    { port: 8443, hostField: 'derp1.lab:8443' },
  ],
  [
    { host: 'derp1.lab', tls: false },
    { port: 80, hostField: 'derp1.lab', tls: false },
  ],
  [
    { host: 'derp1.lab', dialAddress: '10.0.0.1' },
    { host: 'derp1.lab', dialAddress: '10.0.0.1' },
  ],
  [
    { host: '2001:db8::1', port: 8443 },
    { host: '2001:db8::1', hostField: '[2001:db8::1]:8443', name: '[2001:db8::1]:8443' },
  ],
  [{ url: 'https://derp1.lab' }, { host: 'derp1.lab', port: 443, way: 'auto' }],
  [{ url: 'https://derp1.lab:8443/derp' }, { port: 8443, hostField: 'derp1.lab:8443' }],
  [{ url: 'https://[2001:db8::1]/derp' }, { host: '2001:db8::1', hostField: '[2001:db8::1]', port: 443 }],
  [{ url: 'http://127.0.0.1:3340/derp' }, { host: '127.0.0.1', port: 3340, tls: false, way: 'auto' }],
  [{ url: 'ws://127.0.0.1:3340/derp' }, { tls: false, way: 'websocket' }],
  [{ url: 'wss://derp1.lab' }, { tls: {}, way: 'websocket', port: 443 }],
  [{ host: 'h' }, { connectTimeoutMs: 10_000, silenceTimeoutMs: 120_000 }],
])('%j', (options, expected) => {
  expect(resolveTarget(options)).toMatchObject(expected)
})

test.each<[TargetOptions, RegExp]>([
  [{}, /^host: expected a url or a host to connect to, got nothing$/],
  [{ url: 'derp1.lab' }, /^url: expected https, http, wss or ws and a host, got "derp1.lab"$/],
  [{ url: 'ftp://derp1.lab' }, /^url: expected https/],
  [{ url: 'https://derp1.lab/other' }, /^url: expected the path \/derp or none/],
  [{ url: 'https://derp1.lab', port: 1 }, /^url: expected no host and no port beside it/],
  [{ url: 'https://derp1.lab', tls: false }, /^tls: expected settings or nothing, since the url says https/],
  [{ url: 'wss://derp1.lab', way: 'upgrade' }, /^way: expected "websocket"/],
  [{ host: 'h', port: 0 }, /^port: expected a port, 1 to 65535, got 0$/],
  [{ host: 'h', port: 65_536 }, /^port:/],
  [{ host: 'a\r\nb' }, /^host: expected printable ASCII/],
  [{ host: 'h', idealNode: 'a\r\nEvil: 1' }, /^idealNode: expected printable ASCII/],
  [{ host: 'h', tls: false, way: 'fast-start' }, /^way: expected a serverKey with it/],
  [{ host: 'h', serverKey: new Uint8Array(31) }, /^serverKey: expected 32 bytes, got "31 bytes"$/],
  [
    { host: 'h', tls: { certName: `sha256-raw:${'AB'.repeat(32)}` } },
    /^certName: expected 64 lower-case hex/,
  ],
])('%j throws', (options, message) => {
  expect(() => resolveTarget(options)).toThrow(message)
})
