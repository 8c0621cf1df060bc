// The content of ClientInfo's JSON, after the box is opened: the rules of derper's decoder, one by one.

import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { type ClientInfo, isAppName, parseClientInfo } from '#protocol/handshake.ts'
import { ProtocolError } from '#protocol/protocol-error.ts'
import { meshKey } from '../vectors/keys.ts'
import { clientInfo } from '../vectors/login.ts'

const meshKeyText = toHex(meshKey)
const key = Uint8Array.from(meshKey)
const silent: ClientInfo = {
  meshKey: undefined,
  version: 0,
  canAckPings: false,
  isProber: false,
  appName: '',
  wantsHomesOnly: false,
  wantsInstance: false,
}
const errors: readonly string[] = Object.values(ProtocolError)

it.each(['{}', 'null', ' \r\n\t{ } '])('reads %j as all defaults', (text) => {
  expect(parseClientInfo(text)).toEqual(silent)
})

it.each([
  ['[]'],
  ['1'],
  ['"{}"'],
  ['true'],
  [''],
  ['{'],
  ['{}{}'],
  ['{}x'],
  ['{}\0'],
  ['null null'],
  ['{"version":2,}'],
  ["{'version':2}"],
  ['{version:2}'],
  ['\ufeff{}'],
  ['{"version":2} // two'],
])('rejects %j, which is no JSON object', (text) => {
  expect(parseClientInfo(text)).toBe(ProtocolError.clientInfoJson)
})

it.each([
  ['0', 0],
  ['1', 1],
  ['2', 2],
  ['3', 3],
  ['-1', -1],
  ['null', 0],
])('accepts the version %s', (text, version) => {
  expect(parseClientInfo(`{"version":${text}}`)).toEqual({ ...silent, version })
})

it('reads names in any case and ignores unknown names', () => {
  const text = `{"MeshKey":"${meshKeyText}","VERSION":7,"canackpings":true,"ISPROBER":true,"appName":"x",
    "versions":"two","CanAckPing":1,"Key":{"version":[]},"":null,"__proto__":{"version":"9"},"constructor":1}`
  expect(parseClientInfo(text)).toEqual({
    meshKey: key,
    version: 7,
    canAckPings: true,
    isProber: true,
    appName: 'x',
    wantsHomesOnly: false,
    wantsInstance: false,
  })
  expect(parseClientInfo('{"WatchHomesOnly":true}')).toEqual({ ...silent, wantsHomesOnly: true })
  expect(parseClientInfo('{"WatchHomesOnly":1}')).toEqual(silent)
})

it('uses the last of equal names', () => {
  expect(parseClientInfo('{"version":1,"Version":2,"VERSION":3}')).toEqual({ ...silent, version: 3 })
})

it.each([
  '"version":"2"',
  '"version":2.5',
  '"version":true',
  '"version":[2]',
  '"version":{}',
  '"version":1e999',
  '"CanAckPings":1',
  '"CanAckPings":"true"',
  '"CanAckPings":[]',
  '"IsProber":0',
  '"IsProber":"false"',
  '"AppName":5',
  '"AppName":["x"]',
  '"AppName":false',
])('rejects {%s}, a known name with the wrong type', (field) => {
  expect(parseClientInfo(`{${field}}`)).toBe(ProtocolError.clientInfoJson)
})

it('reads null for a known name as its default', () => {
  expect(parseClientInfo('{"version":null,"CanAckPings":null,"IsProber":null,"AppName":null}')).toEqual(
    silent,
  )
})

it('accepts a mesh key with digits in either case', () => {
  for (const text of [meshKeyText, meshKeyText.toUpperCase()]) {
    expect(parseClientInfo(`{"meshKey":"${text}"}`)).toEqual({ ...silent, meshKey: key })
  }
})

it('reads the all-zero mesh key as none', () => {
  expect(parseClientInfo(`{"meshKey":"${'0'.repeat(64)}"}`)).toEqual(silent)
})

it.each([
  ['null'],
  ['""'],
  ['7'],
  ['true'],
  ['{}'],
  [`["${meshKeyText}"]`],
  [`"${meshKeyText.slice(1)}"`],
  [`"${meshKeyText.slice(2)}"`],
  [`"${meshKeyText}0"`],
  [`"${meshKeyText}00"`],
  [`"${meshKeyText.slice(1)}g"`],
  [`" ${meshKeyText.slice(1)}"`],
  [`"${meshKeyText}\\n"`],
  [`"0x${meshKeyText.slice(2)}"`],
])('rejects the mesh key %s', (value) => {
  expect(parseClientInfo(`{"meshKey":${value}}`)).toBe(ProtocolError.meshKeySyntax)
  expect(parseClientInfo(`{"MESHKEY":${value},"version":2}`)).toBe(ProtocolError.meshKeySyntax)
})

it.each(['', 'x', 'my app/1.0 (~)', ' ', '~'.repeat(32), '{"version":1}'])(
  'accepts the app name "%s"',
  (name) => {
    expect(parseClientInfo(JSON.stringify({ AppName: name }))).toEqual({ ...silent, appName: name })
    expect(isAppName(name)).toBe(true)
  },
)

it.each(['x'.repeat(33), 'line\n', '\0', '\x1f', '\x7f', 'für', 'ü'.repeat(17), '\u{1f511}', 'a\ufffd'])(
  'rejects the app name %j',
  (name) => {
    expect(parseClientInfo(JSON.stringify({ AppName: name }))).toBe(ProtocolError.appNameInvalid)
    expect(isAppName(name)).toBe(false)
  },
)

it('accepts exactly the names of up to 32 printable ASCII characters', () => {
  for (let code = 0; code < 0x180; code++) {
    expect(isAppName(`a${String.fromCodePoint(code)}`)).toBe(code >= 0x20 && code <= 0x7e)
  }
})

it('accepts valid fields beside deep nesting or many names, in bounded time', () => {
  const deep = `{"x":${'['.repeat(100_000)}${']'.repeat(100_000)},"version":2}`
  const many = `{${Array.from({ length: 20_000 }, (_, i) => `"${i}":1`).join(',')},"version":2}`
  for (const text of [deep, many]) expect(parseClientInfo(text)).toEqual({ ...silent, version: 2 })
})

it('any JSON gives a ProtocolError or a complete ClientInfo', () => {
  const names = ['meshKey', 'version', 'CanAckPings', 'IsProber', 'AppName', 'meshkey', 'other']
  const someObject = fc.dictionary(fc.constantFrom(...names), fc.jsonValue(), { maxKeys: 5 })
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), someObject), (value) => {
      const result = parseClientInfo(JSON.stringify(value))
      if (typeof result === 'string') expect(errors).toContain(result)
      else expect(Object.keys(result)).toEqual(Object.keys(silent))
    }),
    { numRuns: 1_000 },
  )
})

it('any text gives a ProtocolError or a complete ClientInfo', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.nat(clientInfo.json.length), (text, at) => {
      const result = parseClientInfo(clientInfo.json.slice(0, at) + text + clientInfo.json.slice(at))
      if (typeof result === 'string') expect(errors).toContain(result)
      else expect(result.appName).toBe('')
    }),
  )
})
