// The command line of `npm run bench`: defaults, servers by address, and errors that say what was expected.

import { expect, it } from 'vitest'
import { readOptions } from '../../bench/options.ts'

it('measures three servers in full by default', () => {
  const options = readOptions([])
  expect(options?.started).toEqual(['derpfleet', 'derper-1.104.5', 'derper-1.102.5'])
  expect(options?.effort).toMatchObject({ isQuick: false, rounds: 5, idleConnections: 10_000 })
})

it('accepts other servers by address and process ID', () => {
  const options = readOptions(['--server', 'derpfleet', '--server', 'other=127.0.0.1:3340,123,plain'])
  expect(options?.started).toEqual(['derpfleet'])
  expect(options?.foreign).toEqual([
    { name: 'other', host: '127.0.0.1', port: 3340, pid: 123, isPlain: true },
  ])
})

it.each([
  [['--rounds', '0'], '--rounds 0: expected a number above 0'],
  [['--figure', 'speed'], '--figure speed: expected one of clean-rate'],
  [['--server', 'nginx'], '--server nginx: expected derpfleet'],
  [['--server', 'other=localhost:1,2'], '--server other=localhost:1,2: expected NAME=HOST:PORT,PID'],
])('rejects %j', (args, message) => {
  expect(() => readOptions(args)).toThrow(message)
})
