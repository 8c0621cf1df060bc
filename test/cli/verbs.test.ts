// Commands that reach a running relay: how they find it, and what they print. The relays are processes.

import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { stateFolderName } from '#config/state-folder.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { startProcess, waitUntil, type RunningProcess, type RunResult } from '../support/process.ts'
import { derpfleet, derpfleetProcess, FREE_PORTS, startDerpfleet } from './program.ts'
import { PROGRAM } from '../support/program-path.ts'

// Each test starts a process, or several.
vi.setConfig({ testTimeout: 90_000 })

const SERVING = /"event":"relay_started"/
const NOBODY = '65534'

/** setpriv starts a program as another user. */
const canBeNobody =
  spawnSync('setpriv', ['--reuid', NOBODY, '--clear-groups', 'true'], { stdio: 'ignore' }).status === 0
if (!canBeNobody) process.stderr.write('SKIPPING tests of other users: they need root and setpriv\n')

/** The environment of relays and commands that share a default state folder. */
function envIn(folder: TemporaryFolder): { STATE_DIRECTORY: string } {
  return { STATE_DIRECTORY: folder.at('state') }
}

async function start(folder: TemporaryFolder, keyName: string, ...args: string[]): Promise<RunningProcess> {
  const all = ['serve', '-c', folder.at(keyName), ...FREE_PORTS, ...args]
  return await startDerpfleet(all, { readyWhen: SERVING, env: envIn(folder) })
}

async function run(folder: TemporaryFolder, ...args: string[]): Promise<RunResult> {
  return await derpfleet(args, envIn(folder))
}

test('status prints how the only relay is, for people and as JSON', async () => {
  using folder = new TemporaryFolder()
  const pair = newKeyPair()
  folder.write('derper.key', formatKeyFile(pair))
  await using relay = await start(folder, 'derper.key')
  const { code, stdout, stderr } = await derpfleetProcess(['status'], { env: envIn(folder) })
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toContain(`relay        localhost ${publicKeyText(pair.publicKey)}\n`)
  expect(stdout).toMatch(/^clients +0$/m)
  const asJson = await run(folder, 'status', '-json')
  expect(JSON.parse(asJson.stdout)).toMatchObject({
    key: publicKeyText(pair.publicKey),
    pid: relay.pid,
    clients: 0,
    siblings: { known: 0, up: 0, down: [] },
  })
  expect(readdirSync(folder.at('state'))).toEqual([stateFolderName(pair.publicKey)])
  await relay.stop()
  expect(readdirSync(join(folder.at('state'), stateFolderName(pair.publicKey)))).toEqual(['relay.json'])
  expect(await run(folder, 'status')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('derpfleet status: no relay runs here'),
  })
})

test('top and status -short print the overview; -addr needs no token', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder, 'derper.key')
  const { port } = new URL(`http://${/"admin":"([^"]+)"/.exec(relay.output)?.[1]}`)
  const at = ['-addr', `127.0.0.1:${port}`]
  for (const args of [[], at]) {
    expect(await run(folder, 'status', '-short', ...args)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^ok localhost: 0 clients; 0 bit\/s in, 0 bit\/s out\n$/),
    })
    const { code, stdout } = await run(folder, 'top', '-once', '-sort', 'clients', ...args)
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/^localhost {2}Serving, ok {2}[^]*\n\*localhost +up +0 /),
    ])
  }
  // As users run it: the test's own process also knows syntax that Node does not have.
  expect((await derpfleetProcess(['top', ...at])).stdout).toMatch(/^localhost {2}Serving/)
  expect(JSON.parse((await run(folder, 'top', '-json', ...at)).stdout)).toMatchObject({
    level: 'ok',
    hostname: 'localhost',
  })
  await relay.stop()
  expect(await run(folder, 'status', '-short', ...at)).toMatchObject({ code: 2, stdout: '' })
  expect(await run(folder, 'top', '-once', ...at)).toMatchObject({ code: 1, stdout: '' })
})

test('reload reads files again, and leaves an audit line', async () => {
  using folder = new TemporaryFolder()
  const path = folder.write('mesh.key', `${'ab'.repeat(32)}\n`)
  await using relay = await start(folder, 'derper.key', '-mesh-psk-file', path)
  writeFileSync(path, `${'cd'.repeat(32)}\n`)
  const { code, stdout } = await run(folder, 'reload')
  expect([code, stdout]).toEqual([0, expect.stringMatching(/^reloaded; [^]*mesh\.key: (new|same)\n/)])
  await waitUntil('the call is logged', () => /"verb_called","verb":"reload"/.test(relay.output))
  expect(relay.output).toContain('"event":"mesh_keys_changed"')
})

const TOKEN = 'correct-horse-battery-staple-0123456789'

/** A relay of the program with a token, and the address of its admin port. */
async function startWithToken(
  folder: TemporaryFolder,
  ...args: string[]
): Promise<{ relay: RunningProcess; admin: string; tokenPath: string }> {
  const tokenPath = folder.write('verbs.token', `${TOKEN}\n`)
  const relay = await start(folder, 'derper.key', '-verbs-token-file', tokenPath, ...args)
  const admin = /"admin":"([^"]+)"/.exec(relay.output)?.[1] ?? ''
  return { relay, admin, tokenPath }
}

test('with a token, the commands reach a relay over its admin port; the token is nowhere in the log', async () => {
  using folder = new TemporaryFolder()
  const { relay, admin, tokenPath } = await startWithToken(folder, '-log-level', 'debug')
  await using _relay = relay
  const remote = ['-addr', admin, '-token-file', tokenPath]
  // A folder without a relay: the socket is not used.
  const elsewhere = { STATE_DIRECTORY: folder.at('elsewhere') }
  const status = await derpfleet(['status', '-json', ...remote], elsewhere)
  expect(JSON.parse(status.stdout)).toMatchObject({ pid: relay.pid, state: expect.any(String) })
  expect(await derpfleet(['reload', ...remote], elsewhere)).toMatchObject({ code: 0 })
  await waitUntil('the call is logged', () => /"verb_called"/.test(relay.output))
  expect(relay.output).toMatch(/"verb":"reload","caller":"token from 127\.0\.0\.1","claimed":"derpfleet\//)
  // A new token is taken up by a reload, and the old one is void.
  writeFileSync(tokenPath, `another-${TOKEN}\n`)
  const old = folder.write('old.token', TOKEN)
  expect(await derpfleet(['reload', '-addr', admin, '-token-file', old], elsewhere)).toMatchObject({
    code: 0,
  })
  expect(await derpfleet(['status', '-addr', admin, '-token-file', old], elsewhere)).toMatchObject({
    code: 1,
    stderr: 'derpfleet status: the token is wrong\n',
  })
  const drained = await derpfleet(['drain', '-wait', ...remote], elsewhere)
  expect(drained).toMatchObject({ code: 0, stdout: expect.stringContaining('drained; clients: 0 moved') })
  expect(await relay.exited).toMatchObject({ code: 0 })
  expect(relay.output).not.toContain(TOKEN)
  expect(relay.output).toContain('"event":"verb_denied","address":"127.0.0.1","reason":"wrong token"')
})

test('without a token in the settings, the admin port takes no verb, whatever is sent', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder, 'derper.key')
  const admin = /"admin":"([^"]+)"/.exec(relay.output)?.[1] ?? ''
  const headers = { authorization: `Bearer ${TOKEN}` }
  const answers = await Promise.all(
    ['GET', 'POST'].map(async (method) => await fetch(`http://${admin}/v1/drain`, { method, headers })),
  )
  expect(answers.map(({ status }) => status)).toEqual([404, 405])
  expect(relay.output).not.toContain('relay_draining')
})

test('a token that is too short stops the start, and is not shown', async () => {
  using folder = new TemporaryFolder()
  const path = folder.write('short.token', 'hunter2')
  const key = ['-c', folder.write('a.key', formatKeyFile(newKeyPair()))]
  const args = ['serve', ...key, ...FREE_PORTS, '-verbs-token-file', path]
  const { code, stderr } = await derpfleetProcess(args, { env: envIn(folder) })
  expect([code, stderr]).toEqual([1, expect.stringContaining(`${path} contains no such token`)])
  expect(stderr).not.toContain('hunter2')
  expect(await derpfleet(['status', '-addr', '127.0.0.1:1'], envIn(folder))).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('-addr: needs a token; expected -token-file FILE'),
  })
})

test('the audit line has the process that called as the kernel knows it, whatever that process claims', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder, 'derper.key')
  const [name = ''] = readdirSync(folder.at('state'))
  const socket = join(folder.at('state'), name, 'control.sock')
  const liar = startProcess(
    'curl',
    ['-s', '-A', 'uid=4242 pid=1', '-X', 'POST', '--unix-socket', socket, 'http://a/v1/reload'],
    {},
  )
  const caller = await liar
  await caller.exited
  await waitUntil('the call is logged', () => /"verb_called"/.test(relay.output))
  const expected = `"caller":"uid=${process.getuid?.()} pid=${caller.pid}","claimed":"uid=4242 pid=1"`
  expect(relay.output).toContain(expected)
})

test('of several relays, one is chosen by its key, its folder, or a configuration that names either', async () => {
  using folder = new TemporaryFolder()
  await using first = await start(folder, 'first.key', '-hostname', 'first.example')
  await using second = await start(folder, 'second.key', '-hostname', 'second.example')
  await using third = await start(folder, 'third.key', '-state-dir', folder.at('own'))
  const several = await run(folder, 'status')
  expect([several.code, several.stdout]).toEqual([1, ''])
  expect(several.stderr).toContain('several relays run here; choose one:\n')
  expect(several.stderr).toMatch(/-state-dir \S+\/state\/[\da-f]{16} {2}first\.example \(process \d+\)\n/)
  expect(several.stderr).toContain(`second.example (process ${second.pid})`)
  const pidBy = async (...args: string[]): Promise<unknown> =>
    JSON.parse((await run(folder, 'status', '-json', ...args)).stdout).pid
  expect(await pidBy('-c', folder.at('first.key'))).toBe(first.pid)
  expect(await pidBy('-config', folder.write('a.yaml', `key-file: ${folder.at('second.key')}\n`))).toBe(
    second.pid,
  )
  expect(await pidBy('-state-dir', folder.at('own'))).toBe(third.pid)
  expect(
    await run(folder, 'status', '-c', folder.write('other.key', formatKeyFile(newKeyPair()))),
  ).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no relay runs here'),
  })
  expect(await run(folder, 'status', '-c', folder.at('missing.key'))).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`-c: ${folder.at('missing.key')} does not exist`),
  })
  expect(existsSync(folder.at('missing.key'))).toBe(false)
})

test('a second relay refuses the state folder of the first, and leaves it alone', async () => {
  using folder = new TemporaryFolder()
  await using first = await start(folder, 'first.key', '-state-dir', folder.at('own'))
  const args = ['serve', '-c', folder.at('second.key'), ...FREE_PORTS, '-state-dir', folder.at('own')]
  const { code, stderr } = await derpfleetProcess(args)
  expect(code).toBe(1)
  expect(stderr).toContain(`-state-dir ${folder.at('own')} belongs to the relay with the key nodekey:`)
  expect(
    JSON.parse((await run(folder, 'status', '-json', '-state-dir', folder.at('own'))).stdout),
  ).toMatchObject({
    pid: first.pid,
  })
})

test('two relays that claim one folder at once: one serves', async () => {
  using folder = new TemporaryFolder()
  const ends = await Promise.allSettled(
    ['a', 'b'].map(async (name) => await start(folder, `${name}.key`, '-state-dir', folder.at('own'))),
  )
  const serving = ends.filter((end) => end.status === 'fulfilled')
  expect(serving).toHaveLength(1)
  for (const { value } of serving) await value.stop()
})

test('two runs of one relay at once share the folder, and a command reaches one of them', async () => {
  using folder = new TemporaryFolder()
  folder.write('a.key', formatKeyFile(newKeyPair()))
  const runs = await Promise.all([1, 2].map(async () => await start(folder, 'a.key')))
  const pidNow = async (): Promise<unknown> => JSON.parse((await run(folder, 'status', '-json')).stdout).pid
  const pid = await pidNow()
  expect(runs.map((each) => each.pid)).toContain(pid)
  await runs.find((each) => each.pid !== pid)?.stop()
  expect(await pidNow()).toBe(pid)
  for (const each of runs) await each.stop()
})

test.runIf(canBeNobody)('another user is told that permission is missing', async () => {
  using folder = new TemporaryFolder()
  chmodSync(folder.path, 0o755)
  mkdirSync(folder.at('state'), { mode: 0o755 })
  await using _relay = await start(folder, 'derper.key')
  const asNobody = ['--reuid', NOBODY, '--clear-groups', PROGRAM]
  const { status, stderr } = spawnSync('setpriv', [...asNobody, 'reload'], {
    env: { ...process.env, ...envIn(folder), HOME: folder.path },
    encoding: 'utf8',
  })
  expect([status, stderr]).toEqual([1, expect.stringContaining('derpfleet reload: no permission for ')])
})

test.runIf(canBeNobody)(
  'a relay whose state folder is not its own, or is read-only, serves without',
  async () => {
    using folder = new TemporaryFolder()
    chmodSync(folder.path, 0o755)
    mkdirSync(folder.at('of-root'), { mode: 0o755 })
    folder.write('derper.key', formatKeyFile(newKeyPair()))
    chmodSync(folder.at('derper.key'), 0o644)
    const asNobody = ['--reuid', NOBODY, '--clear-groups', PROGRAM]
    const args = ['serve', '-c', folder.at('derper.key'), ...FREE_PORTS, '-state-dir', folder.at('of-root')]
    await using relay = await startProcess('setpriv', [...asNobody, ...args], {
      readyWhen: SERVING,
      env: { HOME: folder.path },
    })
    const warnings = relay.output.split('\n').filter((line) => line.includes('state_folder_unusable'))
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain(
      `"path":"${folder.at('of-root')}","reason":"is not accessible to this user"`,
    )
    expect(await relay.stop()).toEqual({ code: 0, signal: null })
  },
)

test.each([
  ['-no-such', 2, 'unknown flag'],
  ['extra', 2, 'unexpected argument'],
])('reload %s is a mistake on the command line', async (arg, code, message) => {
  const result = await derpfleet(['reload', arg])
  expect(result.code).toBe(code)
  expect(result.stderr).toContain(message)
})

test('the admin port changes nothing', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder, 'derper.key')
  const [, admin] = /"admin":"([^"]+)"/.exec(relay.output) ?? []
  for (const path of ['/', '/v1/reload', '/v1/status', '/metrics', '/livez']) {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      expect([path, method, (await fetch(`http://${admin}${path}`, { method })).status]).toEqual([
        path,
        method,
        405,
      ])
    }
  }
  expect((await fetch(`http://${admin}/v1/reload`)).status).toBe(404)
  expect(relay.output).not.toContain('verb_called')
  expect(relay.output).not.toContain('relay_reloaded')
})

test('stale folders are passed over', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder, 'derper.key')
  const stale = join(folder.at('state'), '0123456789abcdef')
  mkdirSync(stale)
  writeFileSync(join(stale, 'control.sock'), '')
  mkdirSync(join(folder.at('state'), 'fedcba9876543210'))
  writeFileSync(join(folder.at('state'), 'notes'), readFileSync(folder.at('derper.key')))
  expect(JSON.parse((await run(folder, 'status', '-json')).stdout)).toMatchObject({ pid: relay.pid })
})
