import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { derpfleet } from './program.ts'

test('judges settings as serve does, and makes nothing', async () => {
  using folder = new TemporaryFolder()
  const args = ['-c', folder.at('derper.key'), '-a', '127.0.0.1:3340', '-ace']
  for (const command of [
    ['config', 'check'],
    ['serve', '-check'],
  ]) {
    expect(await derpfleet([...command, ...args])).toEqual({
      code: 0,
      stdout: 'the settings are good\n',
      stderr:
        'warning: -ace: is not supported; it is not needed for relaying\n' +
        `note: ${folder.at('derper.key')} will be made at the start\n`,
    })
  }
  expect(await derpfleet(['config', 'check', ...args, '-threads', 'x'])).toEqual({
    code: 1,
    stdout: '',
    stderr:
      'derpfleet: the settings are not good, one problem:\n' +
      '  -threads: "x" does not fit; expected a whole number from 1 to 256\n',
  })
})

test('prints a schema for editors', async () => {
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

test('the documentation has every option as the program knows it', async () => {
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

test.each([[[]], [['show']], [['schema', 'x']]])('does not understand %j', async (args) => {
  const { code, stderr } = await derpfleet(['config', ...args])
  expect([code, stderr]).toEqual([2, expect.stringMatching(/^usage: derpfleet config check/)])
})

/** The rows of a page's tables, however they are padded. */
function rowsOf(page: string): string[] {
  return page
    .split('\n')
    .filter((line) => /^\| *[`|]/.test(line))
    .map((line) => line.replaceAll(/ +/g, ' '))
}
