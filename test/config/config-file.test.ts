import { expect, test } from 'vitest'
import { z } from 'zod'
import { fileSchema, readConfigFile } from '#config/config-file.ts'
import { OPTIONS } from '#config/options.ts'
import { problemText } from '#fleet/problem.ts'

function problemsOf(text: string): string[] {
  return readConfigFile(OPTIONS, 'relay.yaml', text).problems.map(problemText)
}

test('reads values of every shape with their lines', () => {
  const text = [
    '# a relay',
    'hostname: derp.example.com',
    'http-port: -1',
    'stun: false',
    'tls-max-version: 1.2',
    'outbox-bytes: 1MiB',
    'bootstrap-dns-names:',
    '  - a.example.com',
    '  - b.example.com',
    'disallow-app-names: one, two',
  ].join('\n')
  const { values, problems } = readConfigFile(OPTIONS, 'relay.yaml', text)
  expect(problems).toEqual([])
  expect(Object.fromEntries([...values].map(([word, raw]) => [word, [raw.text, raw.where]]))).toEqual({
    hostname: ['derp.example.com', 'relay.yaml:2: hostname'],
    'http-port': ['-1', 'relay.yaml:3: http-port'],
    stun: ['false', 'relay.yaml:4: stun'],
    'tls-max-version': ['1.2', 'relay.yaml:5: tls-max-version'],
    'outbox-bytes': ['1MiB', 'relay.yaml:6: outbox-bytes'],
    'bootstrap-dns-names': ['a.example.com,b.example.com', 'relay.yaml:7: bootstrap-dns-names'],
    'disallow-app-names': ['one, two', 'relay.yaml:10: disallow-app-names'],
  })
})

test.each([
  ['a file of comments', '# nothing yet\n'],
  ['an empty file', ''],
])('reads no option from %s', (_name, text) => {
  expect(readConfigFile(OPTIONS, 'relay.yaml', text)).toEqual({ values: new Map(), problems: [] })
})

test('reports all unknown keys and wrong shapes at once, each with its line', () => {
  const text = [
    'hostnam: x',
    'a: ":443"',
    'stun: "off"',
    'threads: many',
    'mesh-psk: 00',
    'check: true',
    'config: other.yaml',
    'threads-max: {a: 1}',
  ].join('\n')
  expect(problemsOf(text).toSorted()).toEqual([
    'relay.yaml:1: hostnam: unknown key; did you mean hostname?',
    'relay.yaml:2: a: unknown key; did you mean listen?',
    'relay.yaml:3: stun: invalid value "off"; expected true or false',
    'relay.yaml:4: threads: invalid value "many"; expected a whole number from 1 to 256',
    'relay.yaml:5: mesh-psk: unknown key; set the environment variable DERPFLEET_MESH_PSK',
    'relay.yaml:6: check: unknown key; it can be set only by a flag',
    'relay.yaml:7: config: unknown key; it can be set only by a flag or an environment variable',
    'relay.yaml:8: threads-max: unknown key',
  ])
})

test.each([
  ['hostname: a\nhostname: b\n', /^relay\.yaml:2: Map keys must be unique/],
  ['hostname: [a\n', /^relay\.yaml:\d: /],
  ['- hostname\n', /^relay\.yaml: is not a YAML mapping; expected lines of KEY: VALUE$/],
  ['hostname:\n', /^relay\.yaml:1: hostname: invalid value null; expected the public host name/],
])('refuses %j', (text, expected) => {
  const [first, ...others] = problemsOf(text)
  expect(first).toMatch(expected)
  expect(others).toEqual([])
})

test('has a JSON Schema with every key that allows no other', () => {
  const schema = z.toJSONSchema(fileSchema(OPTIONS))
  expect(schema.additionalProperties).toBe(false)
  expect(Object.keys(schema.properties ?? {})).toEqual(
    expect.arrayContaining(['listen', 'verify-client-url']),
  )
  expect(schema.properties).not.toHaveProperty('mesh-psk')
})
