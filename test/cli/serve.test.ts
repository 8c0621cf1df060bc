import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { connect } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { PresenceFlag } from '#protocol/frame-type.ts'
import { parseKeyFile } from '#protocol/key-file.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { goodPair, writePair } from '../config/certificates.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { freePort, type RunningProcess } from '../support/process.ts'
import { derpfleet, derpfleetProcess, FREE_PORTS, startDerpfleet } from './program.ts'
import { PROGRAM } from '../support/program-path.ts'

const SERVING = /DERP +(\S+:\d+), [^]*STUN +\S+:\d+\/udp\n/

function startPlain(folder: TemporaryFolder, ...args: string[]): Promise<RunningProcess> {
  const all = ['serve', '-log-format', 'text', '-c', folder.at('derper.key'), ...FREE_PORTS, ...args]
  return startDerpfleet(all, { readyWhen: SERVING })
}

function derpAddress(relay: RunningProcess): string {
  return SERVING.exec(relay.output)?.[1] ?? ''
}

/** Whether this user may raise priorities; root in a container often may not. */
const mayRaisePriority = spawnSync('nice', ['-n', '-10', 'nice'], { encoding: 'utf8' }).stdout === '-10\n'

test('serves until SIGTERM, and ends with code 0; the STUN thread has a higher priority', async () => {
  using folder = new TemporaryFolder()
  await using relay = await startPlain(folder)
  const key = parseKeyFile(readFileSync(folder.at('derper.key'), 'utf8'))
  expect(relay.output).toContain(`note: created ${folder.at('derper.key')}\n`)
  expect(relay.output).toContain(
    `is running with the key ${'value' in key ? publicKeyText(key.value.publicKey) : ''}\n`,
  )
  expect(relay.output).toContain(', plain TCP\n')
  const answer = await fetch(`http://${derpAddress(relay)}/derp/probe`)
  expect(answer.status).toBe(200)
  const threads = `/proc/${relay.pid}/task`
  const nicenesses = readdirSync(threads).map((id) => niceness(readFileSync(`${threads}/${id}/stat`, 'utf8')))
  expect(nicenesses.filter((own) => own < 0)).toEqual(mayRaisePriority ? [-10] : [])
  expect(nicenesses.length).toBeGreaterThan(3)
  relay.signal('SIGTERM')
  expect(await relay.exited).toEqual({ code: 0, signal: null })
  expect(relay.output).toContain(`stopped by SIGTERM\n`)
})

/** proc_pid_stat(5): the nineteenth field; the second, in parentheses, may have spaces. */
function niceness(stat: string): number {
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
}

test("accepts derper's command line, with one dash and with two, and serves as derper does", async () => {
  using folder = new TemporaryFolder()
  writePair(folder, 'localhost', goodPair('localhost'))
  writeFileSync(folder.at('mesh.key'), `${'AB'.repeat(32)}\n`)
  const ports = [await freePort(), await freePort()] as const
  const line =
    `-c ${folder.at('key.json')} --a 127.0.0.1:${ports[0]} -hostname localhost --certmode manual ` +
    `-certdir ${folder.path} --http-port -1 --stun-port ${ports[1]} -mesh-psk-file ${folder.at('mesh.key')}`
  await using relay = await startDerpfleet(['serve', ...line.split(' ')], {
    readyWhen: SERVING,
    env: { DERPFLEET_ADMIN: 'off', DERPFLEET_LOG_FORMAT: 'text' },
  })
  expect(relay.output).toContain(`  DERP   127.0.0.1:${ports[0]}, TLS for localhost\n`)
  expect(relay.output).toContain(`  STUN   127.0.0.1:${ports[1]}/udp\n`)
  expect(relay.output).not.toMatch(/HTTP |admin /)
  expect(await ticketsFrom(ports[0])).toBe(0)
  await expectSiblingsAt(ports[0], new Uint8Array(32).fill(0xab))
  expect(await relay.stop()).toEqual({ code: 0, signal: null })
})

/** The number of session tickets in a response over TLS 1.3. */
async function ticketsFrom(port: number): Promise<number> {
  const socket = connect({ port, rejectUnauthorized: false, minVersion: 'TLSv1.3' })
  let ticketCount = 0
  socket.on('session', () => ticketCount++)
  socket.write('GET /generate_204 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  let answer = ''
  for await (const chunk of socket as AsyncIterable<Buffer>) answer += chunk.toString()
  expect(answer).toMatch(/^HTTP\/1.1 204 /)
  return ticketCount
}

async function expectSiblingsAt(port: number, meshKey: Uint8Array): Promise<void> {
  const target = { host: '127.0.0.1', port, tls: { isInsecure: true } } as const
  const sibling = await DerpClient.connect({ ...target, key: newKeyPair(), meshKey })
  const itself = sibling.next('peerPresent')
  sibling.watch()
  expect((await itself).flags).toBe(PresenceFlag.meshPeer)
  await sibling.close()
}

test('keeps serving when its output is not read', async () => {
  using folder = new TemporaryFolder()
  const port = await freePort()
  const args = [
    'serve',
    '-c',
    folder.at('derper.key'),
    '-a',
    `127.0.0.1:${port}`,
    '-stun=false',
    '-admin',
    'off',
  ]
  const child = spawn(PROGRAM, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.destroy()
  child.stderr.destroy()
  const isServing = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${port}/derp/probe`).then(
      ({ ok }) => ok,
      () => false,
    )
  await expect.poll(isServing, { timeout: 25_000 }).toBe(true)
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  expect(await exited).toEqual([0, null])
})

test('does not start with invalid settings, and creates no files', async () => {
  using folder = new TemporaryFolder()
  const args = ['-c', folder.at('derper.key'), '-a', '0.0.0.0:0', '-stun=maybe', '-log-format', 'text']
  const { code, stdout, stderr } = await derpfleet(['serve', ...args])
  expect([code, stdout, existsSync(folder.at('derper.key'))]).toEqual([2, '', false])
  expect(stderr.split('\n').map((line) => line.split(';')[0])).toEqual([
    'derpfleet: not started: invalid configuration, 2 problems:',
    '  -stun: invalid value "maybe"',
    '  -a: 0.0.0.0:0 is not loopback, and no admission policy is set',
    '',
  ])
})

test('names the port that is in use', async () => {
  using folder = new TemporaryFolder()
  const otherServer = createServer().listen(0, '127.0.0.1')
  await once(otherServer, 'listening')
  const { port } = otherServer.address() as AddressInfo
  const args = ['-c', folder.at('derper.key'), ...FREE_PORTS, '-a', `127.0.0.1:${port}`]
  const { code, stdout, stderr } = await derpfleet(['serve', ...args, '-log-format', 'text'])
  otherServer.close()
  expect(existsSync(folder.at('derper.key'))).toBe(false)
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(new RegExp(`^derpfleet: not started: .*127\\.0\\.0\\.1:${port} is in use`, 'm'))
})

test('reports a key file that cannot be created', async () => {
  using folder = new TemporaryFolder()
  // A dangling link: it can be neither read nor created.
  const path = folder.at('derper.key')
  symlinkSync(folder.at('nowhere'), path)
  expect(await derpfleet(['serve', '-c', path, ...FREE_PORTS, '-log-format', 'text'])).toEqual({
    code: 1,
    stdout: '',
    stderr: `derpfleet: not started: invalid configuration, one problem:\n  ${path}: cannot be written: it already exists\n`,
  })
})

test('-help prints every option', async () => {
  const { code, stdout } = await derpfleet(['serve', '-help'])
  expect(code).toBe(0)
  expect(stdout).toContain('\n  -a HOST:PORT\n      Address of the DERP port.')
  expect(stdout).toContain('\nUnsupported derper options:\n')
})

/** Parses every line of standard error, which must be JSON. */
function events(stderr: string): Record<string, unknown>[] {
  return stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

describe('with a log of JSON', () => {
  test('every line of standard error is JSON, from the start to the end, and standard output is empty', async () => {
    using folder = new TemporaryFolder()
    const args = ['serve', '-c', folder.at('derper.key'), ...FREE_PORTS, '-ace', '-log-level', 'debug']
    await using relay = await startDerpfleet(args, { readyWhen: /"relay_started"/ })
    const key = parseKeyFile(readFileSync(folder.at('derper.key'), 'utf8'))
    const serverKey = 'value' in key ? key.value.publicKey : undefined
    const port = Number(/"derp":"127\.0\.0\.1:(\d+)"/.exec(relay.output)?.[1])
    for (const way of ['upgrade', 'fast-start', 'websocket'] as const) {
      const target = { host: '127.0.0.1', port, tls: false, way, serverKey } as const
      const client = await DerpClient.connect({
        ...target,
        key: newKeyPair(),
        appName: 'test',
        isPreferred: true,
      })
      await client.close()
    }
    await expect.poll(() => relay.output.split('"session_ended"').length - 1, { timeout: 10_000 }).toBe(3)
    await relay.stop()
    // `output` has both streams, so a banner on standard output would be in it.
    const lines = events(relay.output)
    expect(lines.map(({ level, event }) => `${String(level)} ${String(event)}`)).toEqual(
      expect.arrayContaining([
        'info file_created',
        'warn setting_warning',
        'info relay_started',
        'info relay_stopped',
      ]),
    )
    const logins = lines.filter(({ event }) => event === 'session_started')
    expect(logins).toMatchObject(
      ['derp', 'fast_start', 'websocket'].map((way) => ({
        level: 'debug',
        way,
        kind: 'client',
        app: 'test',
      })),
    )
    const ends = lines.filter(({ event }) => event === 'session_ended')
    expect(ends.map(({ key, remote }) => [key, remote])).toEqual(
      logins.map(({ key, remote }) => [key, remote]),
    )
    expect(lines.filter(({ event, home }) => event === 'home_changed' && home === true)).toHaveLength(3)
    expect(lines.find(({ event }) => event === 'relay_started')).toMatchObject({
      version: expect.any(String),
      key: 'value' in key ? publicKeyText(key.value.publicKey) : '',
      hostname: 'localhost',
      tls: false,
      derp: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      threads: expect.any(Number),
    })
  })

  test('warnings of Node and an error that ends the process are logged as JSON', async () => {
    using folder = new TemporaryFolder()
    const faulty = `process.on('SIGWINCH', () => { process.emitWarning('odd'); setTimeout(() => { throw new Error('bad') }, 50) })`
    const ofThread = `setTimeout(() => process.emitWarning('odd thread'), 500)`
    const preloaded = `import { isMainThread } from 'node:worker_threads'; if (isMainThread) ${faulty}; else ${ofThread}`
    await using relay = await startDerpfleet(['serve', '-c', folder.at('derper.key'), ...FREE_PORTS], {
      readyWhen: /"relay_started"[^]*odd thread/,
      env: { NODE_OPTIONS: `--import="data:text/javascript,${encodeURIComponent(preloaded)}"` },
    })
    relay.signal('SIGWINCH')
    expect(await relay.exited).toEqual({ code: null, signal: 'SIGKILL' })
    expect(events(relay.output).slice(-2)).toMatchObject([
      { level: 'warn', event: 'runtime_warning', message: 'odd' },
      { level: 'error', event: 'relay_failed', error: { message: 'bad' } },
    ])
  })

  test.each([
    ['invalid settings', ['-a', '0.0.0.0:0', '-nonsense'], 2],
    ['an address that this host does not have', ['-a', '203.0.113.7:0', '-open-relay'], 1],
  ])('a start that fails because of %s is logged as JSON', async (_case, args, code) => {
    using folder = new TemporaryFolder()
    const all = ['serve', '-c', folder.at('derper.key'), ...FREE_PORTS, ...args]
    const ended = await derpfleetProcess(all)
    expect([ended.code, ended.stdout]).toEqual([code, ''])
    expect(events(ended.stderr).at(-1)).toMatchObject({ level: 'error', event: 'start_failed' })
  })
})
