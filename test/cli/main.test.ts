import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { derpfleet } from './program.ts'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))

test.each([[[]], [['help']], [['--help']], [['-h']]])('%j prints the commands', async (args) => {
  const { code, stdout, stderr } = await derpfleet(args)
  expect([code, stderr]).toEqual([0, ''])
  for (const command of ['serve', 'config', 'keygen', 'map', 'probe']) {
    expect(stdout).toMatch(new RegExp(`^  ${command} +\\w`, 'm'))
  }
})

test.each([[['version']], [['--version']], [['serve', '-version']]])(
  '%j prints the version',
  async (args) => {
    expect(await derpfleet(args)).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  },
)

test.each(['sreve', 'constructor', ''])('does not know the command %j', async (name) => {
  const { code, stdout, stderr } = await derpfleet([name])
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toMatch(`derpfleet: there is no command ${JSON.stringify(name)}\n`)
})
