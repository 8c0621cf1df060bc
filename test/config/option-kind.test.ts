import { expect, test } from 'vitest'
import {
  boolean,
  budget,
  byteSize,
  choice,
  duration,
  endpoint,
  endpointOrOff,
  httpUrl,
  integer,
  ipAddress,
  list,
  networks,
  rate,
} from '#config/option-kind.ts'

test.each([
  ['10m', 600_000],
  ['15s', 15_000],
  ['1h2m', 3_720_000],
  ['500ms', 500],
  ['1.5s', 1_500],
  ['.5s', 500],
  ['100us', 0.1],
  ['0', 0],
  ['0s', 0],
  ['15', undefined],
  ['-1s', undefined],
  ['1d', undefined],
  ['s', undefined],
  ['', undefined],
  ['1s ', undefined],
])('duration %j is %j ms', (text, expected) => {
  if (expected === undefined) expect(duration.parse(text)).toBeUndefined()
  else expect(duration.parse(text)).toBeCloseTo(expected, 9)
})

test.each([
  ['[::]:443', { host: '::', port: 443 }],
  [':443', { host: '', port: 443 }],
  [':https', { host: '', port: 443 }],
  [':http', { host: '', port: 80 }],
  ['127.0.0.1:3443', { host: '127.0.0.1', port: 3443 }],
  ['localhost:0', { host: 'localhost', port: 0 }],
  ['[::1]:443', { host: '::1', port: 443 }],
  ['[fe80::1%eth0]:443', { host: 'fe80::1%eth0', port: 443 }],
  ['443', undefined],
  ['::1:443', undefined],
  ['[127.0.0.1]:443', undefined],
  ['host:', undefined],
  ['host:65536', undefined],
  ['host:ftp', undefined],
  ['a b:443', undefined],
  ['', undefined],
])('endpoint %j is %j', (text, expected) => {
  expect(endpoint.parse(text)).toEqual(expected)
})

test.each([
  [boolean, 'T', true],
  [boolean, '0', false],
  [boolean, 'yes', undefined],
  [boolean, '', undefined],
  [integer(-1, 65_535), '-1', -1],
  [integer(-1, 65_535), '65535', 65_535],
  [integer(-1, 65_535), '-2', undefined],
  [integer(-1, 65_535), '1.5', undefined],
  [integer(-1, 65_535), '', undefined],
  [rate, '+Inf', Infinity],
  [rate, '2.5', 2.5],
  [rate, '1e3', 1_000],
  [rate, '0', undefined],
  [rate, '-1', undefined],
  [rate, 'NaN', undefined],
  [byteSize(100), '512KiB', 524_288],
  [byteSize(100), '1MiB', 1_048_576],
  [byteSize(100), '100', 100],
  [byteSize(100), '99', undefined],
  [byteSize(100), '1GB', undefined],
  [list('names'), 'a, b,,c', ['a', 'b', 'c']],
  [choice('1.2', '1.3'), '1.3', '1.3'],
  [choice('1.2', '1.3'), '1.1', undefined],
  [httpUrl, 'https://headscale.example/verify', 'https://headscale.example/verify'],
  [httpUrl, 'headscale.example/verify', undefined],
  [httpUrl, 'http://', undefined],
  [endpointOrOff, 'off', 'off'],
  [ipAddress(4), '192.0.2.1', '192.0.2.1'],
  [ipAddress(4), '2001:db8::1', undefined],
] as const)('%# %o reads %j as %j', (kind, text, expected) => {
  expect(kind.parse(text)).toEqual(expected)
})

test.each([
  ['bytes-per-second 12500000', [12_500_000, Infinity]],
  ['packets-per-second  20000 bytes-per-second unlimited', [Infinity, 20_000]],
  ['bytes-per-second 100', undefined],
  ['bytes-per-second', undefined],
  ['packets-per-second 1 packets-per-second 2', undefined],
  ['12500000', undefined],
  ['weight 2', undefined],
  ['', undefined],
])('budget %j', (text, expected) => {
  const read = budget.parse(text)
  expect(read && [read.bytesPerSecond, read.packetsPerSecond]).toEqual(expected)
})

test.each([
  ['192.0.2.0/24, ::1', 2],
  ['none', 0],
  ['192.0.2.0/24, example.com', undefined],
  ['192.0.2.0/33', undefined],
])('networks %j', (text, count) => expect(networks.parse(text)?.length).toBe(count))
