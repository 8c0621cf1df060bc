// The generator of logins as Go clients make them, against a real relay, and against a server that is none. How fast it is
// is not tested here.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { once } from 'node:events'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { goLogins } from '../../../bench/load/build-go-logins.ts'
import { Generator } from '../../../bench/load/generator-process.ts'
import { loginFile, newClients, serverKeyAt } from '../../../bench/load/login-file.ts'
import type { GoLoginsOutcome } from '../../../bench/load/outcome.ts'
import { cpuSeconds } from '../../../bench/process-stats.ts'
import { makeCertificate } from '../../support/certificate.ts'
import { LiveRelay } from '../../support/live-relay.ts'
import { waitUntil } from '../../support/process.ts'

/** Enough that they take more than a tick of processor time. */
const LOGINS = 100

const program = await goLogins()
if ('missing' in program)
  process.stderr.write(`SKIPPING tests of logins as Go clients make them: ${program.missing}\n`)

let folder: string
let relay: LiveRelay
let logins: string

beforeAll(async () => {
  if ('missing' in program) return
  folder = await mkdtemp(join(tmpdir(), 'go-logins-test-'))
  relay = await LiveRelay.start({ admin: { host: '127.0.0.1', port: 0 } })
  logins = join(folder, 'logins')
  const key = await serverKeyAt({ host: '127.0.0.1', port: relay.port, isPlain: false })
  await writeFile(logins, loginFile(key, newClients(LOGINS)))
})

afterAll(async () => {
  if ('missing' in program) return
  await relay[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

afterEach(() => {
  vi.unstubAllEnvs()
})

/** Logged in at the relay. */
async function clientsHere(): Promise<number> {
  const samples = await relay.samples(/^derp_clients_current/)
  return [...samples.values()].reduce((sum, clients) => sum + clients, 0)
}

async function run(port: number, ...more: string[]): Promise<GoLoginsOutcome> {
  const path = 'path' in program ? program.path : ''
  const args = ['--addr', `127.0.0.1:${port}`, '--logins', logins, '--settle', '0.1', ...more]
  const generator = await Generator.start(args, '0', { name: 'go-logins', path })
  await generator.done()
  return await generator.next('go-logins')
}

describe.skipIf('missing' in program)('against a real relay', () => {
  it('logs in every client, and says which group the relay took', async () => {
    const outcome = await run(relay.port, '--hold', `${LOGINS}`)
    expect(outcome).toMatchObject({ open: LOGINS, failed: 0 })
    expect(outcome.group).toMatch(/^X25519(MLKEM768)?$/)
  })

  it('holds all clients until the last one is in', async () => {
    const running = run(relay.port, '--hold', `${LOGINS}`, '--settle', '2')
    await waitUntil('all clients are here', async () => (await clientsHere()) === LOGINS)
    await running
    await waitUntil('all clients have left', async () => (await clientsHere()) === 0)
  })

  it('offers other groups if Go is told to, and says so', async () => {
    vi.stubEnv('GODEBUG', 'tlsmlkem=0')
    expect(await run(relay.port, '--hold', '5')).toMatchObject({ open: 5, failed: 0, group: 'X25519' })
  })

  it("reports the server's processor time, and no more than it used", async () => {
    const before = await cpuSeconds(process.pid)
    const { serverCpuSeconds } = await run(relay.port, '--hold', `${LOGINS}`, '--pid', `${process.pid}`)
    expect(serverCpuSeconds).toBeGreaterThan(0)
    expect(serverCpuSeconds).toBeLessThanOrEqual((await cpuSeconds(process.pid)) - before + 1e-9)
  })

  it('fails if the login file is for another server', async () => {
    await using other = await LiveRelay.start()
    await expect(run(other.port, '--hold', '5')).rejects.toThrow("the server's key differs")
  })

  it('fails if the login file has too few logins', async () => {
    const all = run(relay.port, '--hold', `${LOGINS + 1}`)
    await expect(all).rejects.toThrow(
      `the file has ${LOGINS} logins from number 0 on, ${LOGINS + 1} are needed`,
    )
    const last = run(relay.port, '--login-from', `${LOGINS - 1}`, '--hold', '2')
    await expect(last).rejects.toThrow(`the file has 1 logins from number ${LOGINS - 1} on, 2 are needed`)
  })
})

describe.skipIf('missing' in program)('against a server that is no relay', () => {
  it.each([
    ['closes at once', ''],
    ['answers with a page', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
    ['upgrades and says something else', 'HTTP/1.1 101 Switching Protocols\r\n\r\n\u0003\0\0\0\0'],
  ])('counts logins that fail when it %s', async (_, answer) => {
    const { certPath, keyPath } = await makeCertificate(folder, 'localhost')
    const [cert, key] = await Promise.all([readFile(certPath), readFile(keyPath)])
    const server = createServer({ cert, key }, (socket) => {
      socket.on('error', () => undefined)
      socket.end(answer)
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    try {
      const { port } = server.address() as AddressInfo
      expect(await run(port, '--hold', '5')).toMatchObject({ open: 0, failed: 5, group: '' })
    } finally {
      server.close()
    }
  })
})
