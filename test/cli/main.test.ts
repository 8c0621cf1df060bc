import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { derpfleet, derpfleetProcess } from './program.ts'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))

const COMMANDS = [
  'serve',
  'healthcheck',
  'status',
  'reload',
  'config',
  'keygen',
  'map',
  'probe',
  'nearest',
  'advise',
]

test.each([[[]], [['help']], [['--help']], [['-h']], [['--h']]])('%j prints the commands', async (args) => {
  const { code, stdout, stderr } = await derpfleet(args)
  expect([code, stderr]).toEqual([0, ''])
  for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command} +\\w`, 'm'))
})

test.each([[['version']], [['--version']], [['serve', '-version']]])(
  '%j prints the version',
  async (args) => {
    expect(await derpfleet(args)).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  },
)

test.each([
  ['sreve', '; did you mean serve?'],
  ['constructor', ''],
  ['', ''],
])('reports the unknown command %j', async (name, hint) => {
  const { code, stdout, stderr } = await derpfleet([name])
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toContain(`derpfleet: unknown command ${JSON.stringify(name)}${hint}\n`)
})

test('a process prints the same and ends with the same codes', async () => {
  const help = await derpfleetProcess(['serve', '-h'])
  expect([help.code, help.stderr]).toEqual([0, ''])
  expect(help).toEqual(await derpfleet(['serve', '-h']))
  const unknown = await derpfleetProcess(['probe', '-timout', '5s'])
  expect([unknown.code, unknown.stdout]).toEqual([2, ''])
  expect(unknown).toEqual(await derpfleet(['probe', '-timout', '5s']))
})

describe.each([...COMMANDS, 'config check', 'config schema', 'config reference'])('%s', (command) => {
  const parts = command.split(' ')
  /** In its JSON format, `serve` logs to the process's own standard error. */
  const more = command === 'serve' ? ['-log-format', 'text'] : []

  test.each(['-h', '--h', '-help', '--help', 'help'])('%s prints its usage', async (help) => {
    const { code, stdout, stderr } = await derpfleet([...parts, help])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(new RegExp(`^usage: derpfleet ${parts[0]} `))
    expect(stdout).toContain('exit code: 0 ')
  })

  test('names the invalid argument, and ends with 2', async () => {
    const flag = await derpfleet([...parts, '-hlep', ...more])
    expect([flag.code, flag.stdout]).toEqual([2, ''])
    expect(flag.stderr).toContain('-hlep')
    expect(flag.stderr).toContain('; did you mean -help?')
    const argument = await derpfleet([...parts, 'wrod', 'drow', ...more])
    expect([argument.code, argument.stdout]).toEqual([2, ''])
    expect(argument.stderr).toMatch(/"(wrod|drow)"/)
  })
})
