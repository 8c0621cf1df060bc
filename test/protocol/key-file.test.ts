// Files with secrets: accepted forms, and problems that contain no part of a key.

import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { formatKeyFile, parseKeyFile, parseMeshKeys } from '#protocol/key-file.ts'
import { keyPairFrom } from '#protocol/node-key.ts'
import { meshKey, server, serverKeyFile, serverPrivateText } from '../vectors/keys.ts'
import { damaged, exactly } from './arbitraries.ts'

const pair = keyPairFrom(server.privateKey)
const digits = toHex(server.privateKey)

it('writes the key file that derper writes', () => {
  expect(formatKeyFile(pair)).toBe(serverKeyFile)
})

it('reads every key file that it writes', () => {
  fc.assert(
    fc.property(exactly(32), (raw) => {
      const written = keyPairFrom(raw)
      expect(parseKeyFile(formatKeyFile(written))).toEqual({ value: written })
    }),
    { numRuns: 20 },
  )
})

it.each([
  ['as derper writes it', serverKeyFile],
  ['with a newline at the end', `${serverKeyFile}\n`],
  ['on one line', `{"PrivateKey":"${serverPrivateText}"}`],
  ['with its name in lower case', serverKeyFile.replace('PrivateKey', 'privatekey')],
  ['with its name in upper case', serverKeyFile.replace('PrivateKey', 'PRIVATEKEY')],
  ['with digits in upper case', serverKeyFile.replace(digits, digits.toUpperCase())],
  [
    'with other fields beside it',
    `{"Comment": [1, {}], "PrivateKey": "${serverPrivateText}", "privatekeys": 1}`,
  ],
  ['as a bare line', serverPrivateText],
  ['as a bare line with a newline', `${serverPrivateText}\r\n`],
])('reads a key file %s', (_name, text) => {
  expect(parseKeyFile(text)).toEqual({ value: pair })
})

it.each([
  ['nothing', ''],
  ['an empty object', '{}'],
  ['no key', '{"PublicKey": "x"}'],
  ['a key that is no text', '{"PrivateKey": 7}'],
  ['no key but null', '{"PrivateKey": null}'],
  ['an empty key', '{"PrivateKey": ""}'],
  ['a list', `["${serverPrivateText}"]`],
  ['half a file', serverKeyFile.slice(0, 60)],
  ['something after the object', `${serverKeyFile} x`],
  ['a key without its type', `{"PrivateKey": "${digits}"}`],
  ['a public key', `{"PrivateKey": "nodekey:${digits}"}`],
  ['a key that is too short', `{"PrivateKey": "privkey:${digits.slice(2)}"}`],
  ['a bare key without its type', digits],
  ['an unquoted key', `{"PrivateKey": ${serverPrivateText}}`],
  ['an unquoted key without its type', `{"PrivateKey": ${digits}}`],
  ['an unquoted key that starts with a letter', `{"PrivateKey": a${digits}}`],
  ['an unquoted bare key', `{${digits}}`],
  ['the all-zero key', `{"PrivateKey": "privkey:${'0'.repeat(64)}"}`],
  ['the all-zero key, bare', `privkey:${'0'.repeat(64)}`],
])('reports the expected form for a key file with %s, without any part of the key', (_name, text) => {
  const result = parseKeyFile(text)
  const problem = 'problem' in result ? result.problem : ''
  expect(problem).toMatch(/expected/)
  expect(leaked(problem)).toEqual([])
})

it('a damaged key file gives a complete pair or a problem without the key', () => {
  fc.assert(
    fc.property(damaged(Buffer.from(serverKeyFile), Buffer.from(serverPrivateText)), (bytes) => {
      const result = parseKeyFile(bytes.toString('utf8'))
      if ('problem' in result) expect(leaked(result.problem)).toEqual([])
      else expect(result.value).toEqual(keyPairFrom(result.value.privateKey))
    }),
    { numRuns: 1_000 },
  )
})

/** Runs of six digits of the private key in a text: too short to be of use, too long to be chance. */
function leaked(text: string): string[] {
  return Array.from({ length: 59 }, (_, at) => digits.slice(at, at + 6)).filter((run) =>
    text.toLowerCase().includes(run),
  )
}

it.each([
  ['as it is', toHex(meshKey)],
  ['with a newline', `${toHex(meshKey)}\n`],
  ['with white space around', ` \t${toHex(meshKey)}\r\n`],
  ['in upper case', toHex(meshKey).toUpperCase()],
])('reads a mesh key %s', (_name, text) => {
  expect(parseMeshKeys(text)).toEqual({ value: [Uint8Array.from(meshKey)] })
})

it('reads several mesh keys in order, between empty lines and comments', () => {
  const other = 'cd'.repeat(32)
  const text = `\n# new\r\n${other}\r\n\n  # old\n ${toHex(meshKey)}`
  expect(parseMeshKeys(text)).toEqual({ value: [new Uint8Array(32).fill(0xcd), Uint8Array.from(meshKey)] })
})

it.each([
  ['the all-zero mesh key', '0'.repeat(64), /^holds the all-zero mesh key; expected 64 random hex digits$/],
  ['no key at all', ' \n# none\n', /^holds no mesh key; expected 64 hex digits$/],
  ['nine keys', `${'cd'.repeat(32)}\n`.repeat(9), /^holds 9 mesh keys; expected at most 8$/],
])('rejects %s', (_name, text, expected) => {
  expect(parseMeshKeys(text)).toEqual({ problem: expect.stringMatching(expected) })
})

it.each(['0x12', toHex(meshKey).slice(1), `${toHex(meshKey)}0`, `nodekey:${toHex(meshKey)}`])(
  'rejects the mesh key "%s" without repeating it',
  (text) => {
    const result = parseMeshKeys(text)
    const problem = 'problem' in result ? result.problem : ''
    expect(problem).toMatch(new RegExp(`^holds ${text.length} characters .* expected 64 hex digits$`))
    expect(problem).not.toContain(toHex(meshKey).slice(1, 9))
  },
)
