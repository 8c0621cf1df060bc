// `derpfleet healthcheck` of relays that are well, drain, hang, do not run, or are something else. The relays are processes.

import { once } from 'node:events'
import { chmodSync, mkdirSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { expect, test, vi } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { freePort, waitUntil, type RunningProcess, type RunResult } from '../support/process.ts'
import { derpfleet, derpfleetProcess, FREE_PORTS, startDerpfleet } from './program.ts'

// Each test starts a process, or several.
vi.setConfig({ testTimeout: 90_000 })

const WELL = { code: 0, stdout: 'live and ready\n', stderr: '' }

/** The environment of relays and commands that share a default state folder; without a relay in it, nothing else answers. */
async function envIn(folder: TemporaryFolder): Promise<Record<string, string>> {
  return { STATE_DIRECTORY: folder.at('state'), DERPFLEET_ADMIN: `127.0.0.1:${await freePort()}` }
}

async function start(
  folder: TemporaryFolder,
  env: Record<string, string>,
  ...args: string[]
): Promise<RunningProcess> {
  const all = ['serve', '-c', folder.at('derper.key'), ...FREE_PORTS, ...args]
  return await startDerpfleet(all, { readyWhen: /"event":"relay_started"/, env })
}

function addressOf(relay: RunningProcess, name: 'derp' | 'admin'): string {
  return new RegExp(`"${name}":"([^"]+)"`).exec(relay.output)?.[1] ?? ''
}

/** A stand-in for another service, at an address of its own. */
async function answering(
  serve: (server: Server) => void,
): Promise<{ address: string } & AsyncDisposable & { server: Server }> {
  const server = createServer()
  serve(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const end = async (): Promise<void> => {
    server.close()
    await Promise.resolve()
  }
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return { address, server, [Symbol.asyncDispose]: end }
}

test('a relay that is well, found by its folder, its key, its configuration, or asked at its admin port', async () => {
  using folder = new TemporaryFolder()
  const env = await envIn(folder)
  await using relay = await start(folder, env)
  const config = folder.write('a.yaml', `key-file: ${folder.at('derper.key')}\n`)
  const ways = [
    [],
    ['-c', folder.at('derper.key')],
    ['-config', config],
    ['-addr', addressOf(relay, 'admin')],
  ]
  for (const way of ways) {
    for (const more of [[], ['-ready']]) {
      expect(await derpfleet(['healthcheck', ...way, ...more], env), way.join(' ')).toEqual(WELL)
    }
  }
  expect(await derpfleetProcess(['healthcheck', '-ready'], { env })).toEqual(WELL)
})

test('without an admin port, and with one that nobody knows, the socket answers', async () => {
  using folder = new TemporaryFolder()
  const env = { ...(await envIn(folder)), DERPFLEET_ADMIN: 'off' }
  const args = ['serve', '-c', folder.at('derper.key'), ...FREE_PORTS.slice(0, -2)]
  await using _relay = await startDerpfleet(args, { readyWhen: /"event":"relay_started"/, env })
  expect(await derpfleet(['healthcheck'], env)).toEqual(WELL)
})

test('a relay whose state folder cannot be used is asked at its admin port', async () => {
  using folder = new TemporaryFolder()
  mkdirSync(folder.at('everybodys'))
  chmodSync(folder.at('everybodys'), 0o777)
  const env: Record<string, string> = {
    ...(await envIn(folder)),
    DERPFLEET_STATE_DIR: folder.at('everybodys'),
  }
  const args = ['serve', '-c', folder.at('derper.key'), ...FREE_PORTS.slice(0, -2)]
  await using relay = await startDerpfleet(args, { readyWhen: /"event":"relay_started"/, env })
  expect(relay.output).toContain('state_folder_unusable')
  expect(await derpfleet(['healthcheck', '-ready'], env)).toEqual(WELL)
  // It is asked as well by what the configuration says.
  const config = folder.write(
    'a.yaml',
    `admin: ${env['DERPFLEET_ADMIN']}\nstate-dir: ${folder.at('everybodys')}\n`,
  )
  expect(await derpfleet(['healthcheck'], { DERPFLEET_CONFIG: config })).toEqual(WELL)
})

test('a relay that drains lives and is not ready, and then it is gone', async () => {
  using folder = new TemporaryFolder()
  const env = await envIn(folder)
  await using relay = await start(folder, env, '-drain-settle', '1h')
  const [host = '', port] = addressOf(relay, 'derp').split(':')
  const client = await DerpClient.connect({ host, port: Number(port), tls: false, key: newKeyPair() })
  relay.signal('SIGTERM')
  await waitUntil('the relay drains', () => relay.output.includes('"relay_draining"'))
  const stdout = 'live, not ready: drain: draining, 1 clients left\n'
  for (const way of [[], ['-addr', addressOf(relay, 'admin')]]) {
    expect(await derpfleet(['healthcheck', ...way], env)).toEqual({ code: 0, stdout, stderr: '' })
    expect(await derpfleet(['healthcheck', '-ready', ...way], env)).toEqual({ code: 1, stdout, stderr: '' })
  }
  relay.signal('SIGQUIT')
  await relay.exited
  await client.close()
  expect(await derpfleet(['healthcheck'], env)).toMatchObject({ code: 1, stdout: '' })
})

test('a relay that hangs does not live, however it is asked, and the answer comes in time', async () => {
  using folder = new TemporaryFolder()
  const env = await envIn(folder)
  await using relay = await start(folder, env)
  relay.signal('SIGSTOP')
  try {
    const admin = addressOf(relay, 'admin')
    const quick = ['-timeout', '300ms']
    const bySocket = await derpfleet(['healthcheck', ...quick], env)
    expect(bySocket).toMatchObject({ code: 1, stdout: '' })
    expect(bySocket.stderr).toMatch(
      /^derpfleet healthcheck: the relay of \S+ does not answer: it takes longer than 0\.3 s\n$/,
    )
    expect(await derpfleet(['healthcheck', '-addr', admin, ...quick], env)).toEqual({
      code: 1,
      stdout: '',
      stderr: `derpfleet healthcheck: ${admin} does not answer: it takes longer than 0.3 s\n`,
    })
  } finally {
    relay.signal('SIGCONT')
  }
  expect(await derpfleet(['healthcheck', '-ready'], env)).toEqual(WELL)
})

test('a relay that hangs and was asked until nobody can connect any more is still the one that is meant', async () => {
  using folder = new TemporaryFolder()
  const env = await envIn(folder)
  await using relay = await start(folder, env, '-state-dir', folder.at('own'))
  relay.signal('SIGSTOP')
  const sockets: Socket[] = []
  try {
    for (let isFull = false; !isFull;) {
      const socket = connect(folder.at('own/control.sock'))
      sockets.push(socket)
      isFull = await new Promise((resolve) => {
        socket.once('connect', () => resolve(false)).once('error', () => resolve(true))
      })
    }
    expect(await derpfleet(['healthcheck', '-state-dir', folder.at('own')], env)).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(
        /^derpfleet healthcheck: the relay of \S+ does not answer: .*EAGAIN.*\n$/,
      ),
    })
  } finally {
    relay.signal('SIGCONT')
    for (const socket of sockets) socket.destroy()
  }
})

test('without a relay, and after one that was killed, both places that were asked are named', async () => {
  using folder = new TemporaryFolder()
  const env = await envIn(folder)
  const check = async (): Promise<RunResult> => await derpfleet(['healthcheck'], env)
  const expected = {
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(
      new RegExp(
        `^derpfleet healthcheck: no relay runs here: .*${folder.at('state')}.*; ${env['DERPFLEET_ADMIN']} does not answer: .*ECONNREFUSED.*\n$`,
      ),
    ),
  }
  expect(await check()).toEqual(expected)
  await using relay = await start(folder, env)
  relay.signal('SIGKILL')
  await relay.exited
  expect(await check()).toEqual(expected)
})

test('of several relays none is asked', async () => {
  using folder = new TemporaryFolder()
  const env = await envIn(folder)
  await using _one = await start(folder, env)
  await using other = await start(folder, env, '-c', folder.at('other.key'))
  const { code, stdout, stderr } = await derpfleet(['healthcheck'], {
    ...env,
    DERPFLEET_ADMIN: addressOf(other, 'admin'),
  })
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(/^derpfleet healthcheck: several relays run here; choose one: -state-dir [^\n]+\n$/)
})

test.each([
  ['a page of something else', 'Content-Type: text/html\r\nContent-Length: 5', '<html'],
  ['JSON of something else', 'Content-Length: 15', '{"status":"up"}'],
  ['JSON that is nearly right', 'Content-Length: 32', '{"isReady":true,"checks":"none"}'],
  ['a list', 'Content-Length: 2', '[]'],
])('%s at the address is not taken for a relay', async (_, head, body) => {
  await using other = await answering((server) => {
    server.on('connection', (socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n${body}`))
    })
  })
  const { code, stdout, stderr } = await derpfleet(['healthcheck', '-addr', other.address])
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(/^derpfleet healthcheck: .*\bnot (?:JSON|that of a relay)\b.*\n$/)
})

test('checks that no relay would send do no harm, and control characters are not printed', async () => {
  const body = '{"isReady":false,"checks":[null,7,{"name":"a\\u001b[2J\\nb","detail":{}}]}'
  await using other = await answering((server) => {
    server.on('connection', (socket) => {
      socket.on('error', () => undefined)
      const head = `HTTP/1.1 503 x\r\nContent-Length: ${body.length}`
      socket.once('data', () => socket.end(`${head}\r\n\r\n${body}`))
    })
  })
  const { code, stdout } = await derpfleet(['healthcheck', '-addr', other.address])
  expect(code).toBe(0)
  // oxlint-disable-next-line no-control-regex -- control characters are what must not be there
  expect(stdout).toMatch(/^live, not ready: a[^\x00-\x1f]+ b: \[object Object\]\n$/)
})

test('an answer that never ends is given up', async () => {
  await using other = await answering((server) => {
    server.on('connection', (socket) => {
      socket.on('error', () => undefined)
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n')
      const drip = setInterval(() => socket.write(' '), 50)
      socket.once('close', () => clearInterval(drip))
    })
  })
  expect(await derpfleet(['healthcheck', '-timeout', '400ms', '-addr', other.address])).toEqual({
    code: 1,
    stdout: '',
    stderr: `derpfleet healthcheck: ${other.address} does not answer: it takes longer than 0.4 s\n`,
  })
})

test('a mistake on the command line is no verdict', async () => {
  for (const mistake of [['-timeout', '0'], ['-redy'], ['-addr', 'nowhere'], ['now']]) {
    expect(await derpfleet(['healthcheck', ...mistake])).toMatchObject({ code: 2, stdout: '' })
  }
})
