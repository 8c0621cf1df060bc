// What commands print of others' answers and maps: nothing in it controls the terminal.

import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { terminalText, terminalValue } from '#cli/terminal-text.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { derpfleet } from './program.ts'

/** Sets the title, clears the screen, and begins a sequence with the one-byte form of Escape and `[`. */
const EVIL = '\u001b]0;title\u0007\u001b[2J\u009b31m\u202e'
// oxlint-disable-next-line no-control-regex -- control characters are what must not be there
const CONTROLS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/

const OVERVIEW = {
  level: EVIL,
  hostname: EVIL,
  nodes: [EVIL],
  state: 'serving',
  concerns: [`down: ${EVIL}`],
  relays: [{ name: `a${EVIL}`, nodes: [EVIL], state: EVIL, version: EVIL, failing: [], isOwn: true }],
  links: [],
}

let server: Server
let answer: string
let at: string

beforeEach(async () => {
  server = createServer((_, response) => response.end(answer)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  at = `127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterEach(() => {
  server.closeAllConnections()
  server.close()
})

it.each([
  ['top', ['top', '-once']],
  ['status', ['status', '-short']],
])('%s prints no control characters of a relay', async (_, args) => {
  answer = JSON.stringify(OVERVIEW)
  const { stdout, stderr } = await derpfleet([...args, '-addr', at])
  expect(stdout).toContain('title')
  expect(stdout + stderr).not.toMatch(CONTROLS)
})

it('map watch prints none of what is no map', async () => {
  answer = `{"Regions": ${EVIL}}`
  const { stdout, stderr } = await derpfleet(['map', 'watch', `http://${at}/derpmap.json`, '-once'])
  expect(stderr).toContain('is neither JSON nor YAML')
  expect(stdout + stderr).not.toMatch(CONTROLS)
})

it('map diff prints none of two maps', async () => {
  using folder = new TemporaryFolder()
  const map = (ipv4: string): string =>
    JSON.stringify({
      Regions: {
        900: {
          RegionID: 900,
          RegionCode: 'a',
          Nodes: [{ Name: 'a', RegionID: 900, HostName: 'b', IPv4: ipv4 }],
        },
      },
    })
  folder.write('old.json', map('192.0.2.1'))
  folder.write('new.json', map(EVIL))
  const { code, stdout } = await derpfleet(['map', 'diff', folder.at('old.json'), folder.at('new.json')])
  expect([code, stdout]).toEqual([1, expect.stringContaining('IPv4')])
  expect(stdout).not.toMatch(CONTROLS)
})

it('keeps line ends, and everything that is printable', () => {
  expect(terminalText('a\nb\u001b[0m \u{e9}\u{2192}\u{1f600}')).toBe('a\nb [0m \u{e9}\u{2192}\u{1f600}')
  expect(terminalValue({ '\u0007x': [1, null, 'a\u0007'] })).toEqual({ ' x': [1, null, 'a '] })
  const deep: unknown = JSON.parse(`{"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)
  expect(JSON.stringify(terminalValue(deep)).length).toBeLessThan(100)
})
