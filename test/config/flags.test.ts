import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { readFlags } from '#config/flags.ts'
import { flagNames } from '#config/option.ts'
import { OPTIONS } from '#config/options.ts'
import { problemText } from '#fleet/problem.ts'

function textsOf(args: readonly string[]): Record<string, string> {
  const { values, problems } = readFlags(OPTIONS, args)
  expect(problems).toEqual([])
  return Object.fromEntries([...values].map(([word, { text }]) => [word, text]))
}

function problemsOf(args: readonly string[]): string[] {
  return readFlags(OPTIONS, args).problems.map(problemText)
}

test.each([
  ['one dash and a value', ['-hostname', 'a.example'], { hostname: 'a.example' }],
  ['two dashes and a value', ['--hostname', 'a.example'], { hostname: 'a.example' }],
  [
    'an equals sign',
    ['-hostname=a.example', '--home=http://x/?a=b'],
    { hostname: 'a.example', home: 'http://x/?a=b' },
  ],
  ['a value that looks like a flag', ['-http-port', '-1'], { 'http-port': '-1' }],
  [
    'a boolean alone, before a flag',
    ['-verify-clients', '-a', ':443'],
    { 'verify-clients': 'true', listen: ':443' },
  ],
  ['a boolean with its value', ['-stun=false', '--derp=F'], { stun: 'false', derp: 'F' }],
  ['the last of several values', ['-a', ':1', '-a', ':2'], { listen: ':2' }],
  ['an empty value', ['-mesh-psk-file='], { 'mesh-psk-file': '' }],
  ['flags up to --', ['-a', ':1', '--'], { listen: ':1' }],
  ['-h and --h for help', ['-h', '--h'], { help: 'true' }],
  ['the option by its name', ['-listen', ':1', '-key-file', 'k'], { listen: ':1', 'key-file': 'k' }],
])('reads %s', (_name, args, expected) => {
  expect(textsOf(args)).toEqual(expected)
})

test.each([
  [['-hostnam', 'x'], ['-hostnam: unknown flag; did you mean -hostname?']],
  [['--verify-client', '-stun'], ['-verify-client: unknown flag; did you mean -verify-clients?']],
  [['-zzz=1'], ['-zzz: unknown flag']],
  [['-a'], ['-a: missing value; expected HOST:PORT or :PORT, an IPv6 address in brackets ([::1]:443)']],
  // Go stops at "false" and would run STUN, without -verify-clients.
  [['-stun', 'false', '-verify-clients'], ['"false": unexpected argument; did you mean -stun=false?']],
  [['serve'], ['"serve": unexpected argument']],
  // After "--" there are no flags, as in Go, and no command has other arguments.
  [
    ['-', '--', '-stun', '---'],
    ['"-": unexpected argument', '"-stun": unexpected argument', '"---": unexpected argument'],
  ],
  [['-=x'], ['"-=x": unexpected argument']],
  [['-mesh-psk', 'secret'], ['-mesh-psk: unknown flag; set the environment variable DERPFLEET_MESH_PSK']],
])('complains of %j', (args, expected) => {
  expect(problemsOf(args)).toEqual(expected)
})

test('reads back all flags that are written by the rules of Go, in any form and order', () => {
  const flags = Object.entries(OPTIONS).flatMap(([word, option]) =>
    flagNames(word, option).map((flag) => ({ word, flag, isBoolean: option.kind.isBoolean === true })),
  )
  const given = fc.record({
    flag: fc.constantFrom(...flags),
    value: fc.string(),
    dashes: fc.constantFrom('-', '--'),
    isInline: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(given), (all) => {
      const args = all.flatMap(({ flag, value, dashes, isInline }) =>
        isInline || flag.isBoolean ? [`${dashes}${flag.flag}=${value}`] : [`${dashes}${flag.flag}`, value],
      )
      expect(textsOf(args)).toEqual(Object.fromEntries(all.map(({ flag, value }) => [flag.word, value])))
    }),
  )
})
