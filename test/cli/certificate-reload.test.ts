// Certificate files that are replaced while the program serves: in each of the ways of tools, on SIGHUP, and with files that
// must not be used. A client stays connected throughout.

import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'node:tls'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { DAY_MS, goodPair, makePair, type Pair } from '../config/certificates.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import {
  asMountedSecret,
  byRename,
  bySymbolicLink,
  fingerprintOf,
  inPlace,
  presentedAt,
} from '../support/certificate-files.ts'
import { issueCertificate, makeAuthority } from '../support/certificate.ts'
import { waitUntil, type RunningProcess } from '../support/process.ts'
import { FREE_PORTS, startDerpfleet } from './program.ts'

/** What the documents promise. */
const SERVED_WITHIN_MS = 5_000
const SERVING = /"event":"relay_started".*"derp":"127.0.0.1:(\d+)".*"admin":"([^"]+)"/

/** A relay that serves a certificate, a client of it, and the folder with the files. */
class ServedCertificate implements AsyncDisposable {
  readonly folder: TemporaryFolder
  readonly relay: RunningProcess
  readonly client: DerpClient
  readonly port: number
  readonly #admin: string

  private constructor(folder: TemporaryFolder, relay: RunningProcess, client: DerpClient) {
    const [, port, admin = ''] = SERVING.exec(relay.output) ?? []
    this.folder = folder
    this.relay = relay
    this.client = client
    this.port = Number(port)
    this.#admin = admin
  }

  static async start(): Promise<ServedCertificate> {
    const folder = new TemporaryFolder()
    byRename(folder.path, 'localhost', goodPair('localhost'))
    const identity = ['-hostname', 'localhost', '-certmode', 'manual', '-certdir', folder.path]
    const args = ['serve', '-c', folder.at('derper.key'), ...FREE_PORTS, ...identity, '-threads', '2']
    const relay = await startDerpfleet(args, { readyWhen: SERVING })
    const port = Number(SERVING.exec(relay.output)?.[1])
    const target = { host: '127.0.0.1', port, tls: { isInsecure: true } as const }
    return new ServedCertificate(folder, relay, await DerpClient.connect({ ...target, key: newKeyPair() }))
  }

  async page(path: string): Promise<string> {
    return await (await fetch(`http://${this.#admin}${path}`)).text()
  }

  async untilServed({ certificate }: Pair): Promise<void> {
    const expected = fingerprintOf(certificate)
    // The relay has two threads, and the system chooses one for each connection.
    const isServed = async (): Promise<boolean> => {
      const presented = await Promise.all(Array.from({ length: 8 }, async () => await presentedAt(this.port)))
      return presented.every((fingerprint) => fingerprint === expected)
    }
    await waitUntil('the new certificate is served', isServed, SERVED_WITHIN_MS)
  }

  logged(event: string): Record<string, unknown>[] {
    return this.relay.output
      .split('\n')
      .filter((line) => line.includes(`"event":"${event}"`))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close()
    await this.relay.stop()
    this.folder[Symbol.dispose]()
  }
}

/** Tests that follow each other on one relay. Groups run side by side, because they mostly wait. */
function group(name: string, define: (served: () => ServedCertificate) => void): void {
  describe(name, { concurrent: true }, () => {
    let served: ServedCertificate
    let isClientGone = false
    beforeAll(async () => {
      served = await ServedCertificate.start()
      served.client.on('closed', () => (isClientGone = true))
    })
    beforeEach(async () => {
      const pair = goodPair('localhost')
      byRename(served.folder.path, 'localhost', pair)
      await served.untilServed(pair)
    })
    afterAll(async () => {
      const wasGone = isClientGone
      await served[Symbol.asyncDispose]()
      expect(wasGone).toBe(false)
    })
    define(() => served)
  })
}

const IN_TURN = { concurrent: false }

group('files are replaced', (served) => {
  it.each([
    ['renamed', byRename],
    ['written in place', inPlace],
  ])('files that are %s are served within five seconds', IN_TURN, async (_way, replace) => {
    for (let i = 0; i < 3; i++) {
      const pair = goodPair('localhost')
      replace(served().folder.path, 'localhost', pair)
      await served().untilServed(pair)
      expect(served().logged('certificate_replaced').at(-1)).toMatchObject({
        source: 'self_signed',
        names: ['localhost'],
      })
    }
    await served().client.ping()
  })

  it('a mounted secret whose link is exchanged is served within five seconds', IN_TURN, async () => {
    asMountedSecret(served().folder.path, 'localhost')
    for (let i = 0; i < 3; i++) {
      const pair = goodPair('localhost')
      bySymbolicLink(served().folder.path, 'localhost', pair)
      await served().untilServed(pair)
    }
    await served().client.ping()
  })
})

group('files do not fit each other', (served) => {
  it('a key that follows seconds after its certificate is no failure', IN_TURN, async () => {
    const { folder } = served()
    const refusals = served().logged('certificate_refused').length
    const pair = goodPair('localhost')
    writeFileSync(folder.at('localhost.crt'), pair.certificate)
    await sleep(3_000)
    expect(served().logged('certificate_refused')).toHaveLength(refusals)
    writeFileSync(folder.at('localhost.key'), pair.key)
    await served().untilServed(pair)
    expect(served().logged('certificate_refused')).toHaveLength(refusals)
  })

  it('SIGHUP looks at once, and reports without patience what cannot be used', IN_TURN, async () => {
    writeFileSync(served().folder.at('localhost.crt'), goodPair('localhost').certificate)
    served().relay.signal('SIGHUP')
    await waitUntil(
      'it is reported',
      () => served().logged('certificate_refused').at(-1)?.['reason'] === 'mismatch',
      3_000,
    )
  })

  it('a chain that was joined in the wrong order is served in order', IN_TURN, async () => {
    const { folder, port } = served()
    const authority = await makeAuthority(folder.path, 'authority')
    const issued = await issueCertificate(folder.path, 'issued', authority, 'localhost')
    const [issuer, leaf, key] = [authority.certPath, issued.certPath, issued.keyPath].map((path) =>
      readFileSync(path, 'utf8'),
    )
    const pair = { certificate: `${leaf}`, key: `${key}` }
    byRename(folder.path, 'localhost', { certificate: `${issuer}${leaf}`, key: pair.key })
    await served().untilServed(pair)
    expect(served().logged('certificate_replaced').at(-1)).toMatchObject({ source: 'manual' })
    // As clients judge it, who know the authority alone.
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: issuer })
    await once(socket, 'secureConnect')
    expect(socket.authorized).toBe(true)
    socket.destroy()
  })
})

const nowMs = Date.now()
type Bad = readonly [what: string, reason: string, breakIn: (folder: string) => void]
const bad: readonly Bad[] = [
  [
    'expired',
    'expired',
    (at) => byRename(at, 'localhost', makePair(['localhost'], nowMs - 9 * DAY_MS, nowMs - DAY_MS)),
  ],
  [
    'of next week',
    'not_yet_valid',
    (at) => byRename(at, 'localhost', makePair(['localhost'], nowMs + 7 * DAY_MS, nowMs + 9 * DAY_MS)),
  ],
  ['for another name', 'other_name', (at) => byRename(at, 'localhost', goodPair('other.example'))],
]
/** A relay waits for the other half. */
const unreadable: readonly Bad[] = [
  [
    'half',
    'unreadable',
    (at) => writeFileSync(join(at, 'localhost.crt'), goodPair('localhost').certificate.slice(0, 300)),
  ],
  ['empty', 'unreadable', (at) => writeFileSync(join(at, 'localhost.key'), '')],
]
const groupsOfBad: readonly (readonly Bad[])[] = [bad, ...unreadable.map((one) => [one])]

for (const some of groupsOfBad) {
  group(`files must not be used: ${some.map(([what]) => what).join(', ')}`, (served) => {
    it.each(some)(
      'a certificate that is %s changes nothing, and says why once',
      IN_TURN,
      async (_what, reason, breakIn) => {
        const { folder, port } = served()
        const before = await presentedAt(port)
        const refusals = served().logged('certificate_refused').length
        breakIn(folder.path)
        const isReported = (): boolean => served().logged('certificate_refused').length > refusals
        await waitUntil('it is reported', isReported, 20_000)
        await sleep(2_500)
        const lines = served().logged('certificate_refused').slice(refusals)
        expect(lines).toHaveLength(1)
        expect(lines[0]).toMatchObject({ reason, level: 'warn' })
        expect(String(lines[0]?.['problem'])).toContain(folder.path)
        expect(await presentedAt(port)).toBe(before)
        expect(await served().page('/readyz?verbose')).toMatch(
          /^ready\n[^]*ok +certificate: .*the last renewal failed: /,
        )
        const metrics = await served().page('/metrics')
        expect(metrics).toContain('\nderp_certificate_last_renewal_successful 0\n')
        expect(metrics).toContain('\nderp_config_last_reload_successful{file="certdir"} 0\n')
        expect(metrics).toMatch(
          new RegExp(`\\nderp_certificate_failures_total\\{reason="${reason}"\\} [1-9]`),
        )
      },
    )
  })
}
