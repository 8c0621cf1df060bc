import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { goodPair, writePair } from '../config/certificates.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { derpfleet } from './program.ts'

test('check validates as serve -check does, and creates no files', async () => {
  using folder = new TemporaryFolder()
  const args = ['-c', folder.at('derper.key'), '-a', '127.0.0.1:3340', '-ace']
  for (const command of [
    ['config', 'check'],
    ['serve', '-check'],
  ]) {
    expect(await derpfleet([...command, ...args])).toEqual({
      code: 0,
      stdout: 'the configuration is valid\n',
      stderr:
        'warning: -ace: is not supported; relaying does not need it\n' +
        `note: ${folder.at('derper.key')} will be created at the start\n`,
    })
  }
  expect(await derpfleet(['config', 'check', ...args, '-threads', 'x'])).toEqual({
    code: 2,
    stdout: '',
    stderr:
      'derpfleet: invalid configuration, one problem:\n' +
      '  -threads: invalid value "x"; expected a whole number from 1 to 256\n',
  })
})

test('schema prints a JSON Schema for editors', async () => {
  const { code, stdout } = await derpfleet(['config', 'schema'])
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({
    type: 'object',
    additionalProperties: false,
    properties: {
      threads: { type: 'integer', minimum: 1, maximum: 256 },
      certmode: { enum: expect.any(Array) },
    },
  })
})

test('the documentation lists every option as reference prints it', async () => {
  const { stdout } = await derpfleet(['config', 'reference'])
  const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')
  expect(stdout).toContain('| `-a` `-listen` | `DERPFLEET_LISTEN` `DERP_ADDR` | `listen` | `:443` |')
  expect(rowsOf(page)).toEqual(expect.arrayContaining(rowsOf(stdout)))
})

test('prints its usage when asked', async () => {
  const { code, stdout, stderr } = await derpfleet(['config', '-help'])
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(/^usage: derpfleet config check/)
})

test('check reports problems of the start even if every value is valid', async () => {
  using folder = new TemporaryFolder()
  const base = ['config', 'check', '-c', folder.at('derper.key'), '-a', '127.0.0.1:3340']
  const problem = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await derpfleet([...base, ...args])
    expect([code, stdout]).toEqual([1, ''])
    return stderr
  }
  folder.write('mesh.key', 'ab'.repeat(32))
  const relay = (name: string, port = 443): string =>
    `{name: ${name}, hostname: derp.example, derpport: ${port}}`
  folder.write(
    'regions.yaml',
    `regions:\n  901:\n    code: a\n    nodes: [${relay('901a')}, ${relay('901b', 8_443)}]\n`,
  )
  const mesh = ['-mesh-psk-file', folder.at('mesh.key'), '-regions-file', folder.at('regions.yaml')]
  const nats = ['-nats-url', 'nats://127.0.0.1', '-nats-secret-file', folder.at('mesh.key'), '-region', '901']
  expect(await problem(...mesh, ...nats, '-hostname', 'other.example')).toContain('"other.example"')
  // Two relays have this host name, and -node does not select one.
  expect(await problem(...mesh, ...nats, '-hostname', 'derp.example')).toContain('-node')
  // TLS does not start with a chain whose second certificate is damaged.
  const { certificate, key } = goodPair('a.example')
  const damaged = certificate.replace(/.{30}\n-----END/, '\n-----END')
  writePair(folder, 'a.example', { certificate: `${certificate}${damaged}`, key })
  expect(await problem('-certmode', 'manual', '-hostname', 'a.example', '-certdir', folder.path)).toContain(
    'a.example.crt: certificate 2 of the chain is damaged',
  )
})

test('an invalid command line ends with 2, other invalid settings with 1', async () => {
  using folder = new TemporaryFolder()
  const args = ['-c', folder.at('derper.key'), '-a', '127.0.0.1:3340']
  const codeOf = async (more: string[], env: Record<string, string> = {}): Promise<number | null> =>
    (await derpfleet(['config', 'check', ...args, ...more], env)).code
  expect(await codeOf(['-threads', '0'])).toBe(2)
  expect(await codeOf(['-treads', '1'])).toBe(2)
  expect(await codeOf(['-threads'])).toBe(2)
  expect(await codeOf([], { DERPFLEET_THREADS: '0' })).toBe(1)
  expect(await codeOf(['-rate-config', folder.at('none')])).toBe(1)
  expect(await codeOf([])).toBe(0)
})

test.each([
  [[], 'missing subcommand'],
  [['shcema'], 'unknown subcommand "shcema"; did you mean schema?'],
  [['constructor'], 'unknown subcommand "constructor"'],
  [['schema', 'x'], '"x": unexpected argument'],
])('reports %j as invalid', async (args, problem) => {
  const { code, stdout, stderr } = await derpfleet(['config', ...args])
  expect([code, stdout, stderr.includes(problem)]).toEqual([2, '', true])
})

/** The rows of a page's tables, without padding. */
function rowsOf(page: string): string[] {
  return page
    .split('\n')
    .filter((line) => /^\| *[`|]/.test(line))
    .map((line) => line.replaceAll(/ +/g, ' '))
}
