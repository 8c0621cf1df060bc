// Certificates and state on a disk that is full, or read-only: at the start, at a renewal, at a reload and at an upgrade. The
// relay orders nothing that it could not keep, serves on, says so once, and leaves no half file. A real file system, real
// processes and a real ACME server.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { AcmeRelay } from '../support/acme-relay.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { Pebble } from '../support/pebble.ts'
import { freePort, runProcess, waitUntil } from '../support/process.ts'
import { canMakeDisk, SmallDisk } from '../support/small-disk.ts'
import { PROGRAM } from '../support/program-path.ts'

const TIMEOUT_MS = 120_000
const NAME = 'relay.example'
const STORED = `certificates/${NAME}`
const NOT_ORDERED =
  /nothing is ordered: .*\/certificates takes no files: it is on a (full file system \(ENOSPC\)|read-only file system \(EROFS\))$/

const found = await foreignPrograms('pebble', 'pebble-challtestsrv')

describe.skipIf('missing' in found || !canMakeDisk)(
  'a disk for certificates and state',
  { timeout: TIMEOUT_MS },
  () => {
    const folder = new TemporaryFolder()
    let ports: { tls: number; http: number }
    let pebble: Pebble
    let disk: SmallDisk
    let relays: AcmeRelay[]

    beforeAll(async () => {
      if ('missing' in found) return
      ports = { tls: await freePort(), http: await freePort() }
      const validated = { httpPort: ports.http, tlsPort: ports.tls }
      pebble = await Pebble.start({ programs: found.paths, folder: folder.path, ...validated })
    }, TIMEOUT_MS)

    afterAll(async () => {
      await pebble?.[Symbol.asyncDispose]()
      folder[Symbol.dispose]()
    })

    beforeEach(async () => {
      relays = []
      disk = await SmallDisk.mount(folder.at('disk'))
    })

    afterEach(async () => {
      for (const relay of relays) await relay[Symbol.asyncDispose]()
      await disk[Symbol.asyncDispose]()
    })

    /** The same relay again, while it runs: its next run. */
    async function startRelay(): Promise<AcmeRelay> {
      const relay = await AcmeRelay.start({
        hostname: NAME,
        folder: `${disk.path}/certificates`,
        keyPath: folder.at('derper.key'),
        directoryUrl: pebble.directoryUrl,
        authorityPath: pebble.authorityPath,
        port: ports.tls,
        httpPort: ports.http,
        args: ['-acme-challenge', 'http-01', '-state-dir', `${disk.path}/state`],
        prefix: disk.prefix,
      })
      relays.push(relay)
      return relay
    }

    /** What is on the disk when the relay has its certificate and has stored it. */
    async function filesOf(relay: AcmeRelay): Promise<ReadonlyMap<string, string>> {
      await relay.certificate()
      const isDone = (): boolean => {
        const names = [...disk.files().keys()]
        return names.includes(STORED) && !names.some((name) => /[+](attempts|lease)|[.]tmp$/.test(name))
      }
      await waitUntil('the certificate is stored', isDone)
      return disk.files()
    }

    /** From now on, the relay's certificate is to be renewed at once. */
    async function makeDue(relay: AcmeRelay): Promise<void> {
      const suggestedWindow = { start: '2026-01-01T00:00:00Z', end: '2026-01-02T00:00:00Z' }
      await pebble.setRenewalInformation((await relay.certificate()).toString(), { suggestedWindow })
      relay.process.signal('SIGHUP')
    }

    /** It orders nothing, and has said once why. */
    async function expectNoOrder(relay: AcmeRelay): Promise<void> {
      const issued = pebble.issuedCount
      const line = await relay.waitForEvent('certificate_refused')
      expect(line).toMatchObject({
        level: 'warn',
        reason: 'store',
        problem: expect.stringMatching(NOT_ORDERED),
      })
      relay.process.signal('SIGHUP')
      await waitUntil('it has tried again', async () => {
        return (await relay.metric('derp_certificate_failures_total{reason="store"}')) > 1
      })
      expect(relay.events('certificate_refused')).toHaveLength(1)
      expect(await relay.metric('derp_certificate_last_renewal_successful')).toBe(0)
      expect(pebble.issuedCount).toBe(issued)
    }

    test('full at the start: nothing is ordered, at no restart, until there is room', async () => {
      disk.fill()
      for (let start = 0; start < 2; start++) {
        const relay = await startRelay()
        await expectNoOrder(relay)
        expect(relay.events('state_folder_unusable')).toMatchObject([
          { reason: expect.stringContaining('full file system') },
        ])
        expect(await relay.metric('derp_state_folder_usable')).toBe(0)
        expect(disk.files()).toEqual(new Map())
        expect(await relay.process.stop()).toEqual({ code: 0, signal: null })
      }
      const relay = await startRelay()
      await expectNoOrder(relay)
      const issued = pebble.issuedCount
      disk.empty()
      relay.process.signal('SIGHUP')
      const { serialNumber } = await relay.certificate()
      await waitUntil(
        'the certificate is stored',
        () => disk.files().get(STORED)?.includes('-----END CERT') === true,
      )
      expect(await relay.metric('derp_certificate_last_renewal_successful')).toBe(1)
      expect(await relay.process.stop()).toEqual({ code: 0, signal: null })
      const next = await startRelay()
      expect((await next.certificate()).serialNumber).toBe(serialNumber)
      expect(pebble.issuedCount).toBe(issued + 1)
      expect(next.events('state_folder_unusable')).toEqual([])
      expect(await next.metric('derp_state_folder_usable')).toBe(1)
    })

    test('full at a renewal, at reloads and at an upgrade: the files stay as they were, until there is room', async () => {
      const first = await startRelay()
      const before = await filesOf(first)
      const old = await first.presented()
      disk.fill()
      await makeDue(first)
      await expectNoOrder(first)
      expect(await first.page('/readyz')).toMatch(/^ready/)
      expect(disk.files()).toEqual(before)
      const second = await startRelay()
      expect(await first.process.exited).toEqual({ code: 0, signal: null })
      expect((await second.presented()).serialNumber).toBe(old.serialNumber)
      expect(second.events('run_took_over')).toHaveLength(1)
      expect(second.events('state_folder_unusable')).toEqual([])
      expect(disk.files()).toEqual(before)
      second.process.signal('SIGHUP')
      await expectNoOrder(second)
      disk.empty()
      second.process.signal('SIGHUP')
      await second.certificate(old)
      await waitUntil('the certificate is stored', () => disk.files().get(STORED) !== before.get(STORED))
    })

    test('read-only at a renewal, at reloads, at an upgrade and at a start: the files stay as they were', async () => {
      const first = await startRelay()
      const before = await filesOf(first)
      const old = await first.presented()
      disk.setReadOnly(true)
      await makeDue(first)
      await expectNoOrder(first)
      // Without a state folder it cannot become the next run; the present one serves on.
      await expect(startRelay()).rejects.toThrow(/state_folder_unusable[^]*in use/)
      expect((await first.presented()).serialNumber).toBe(old.serialNumber)
      expect(await first.process.stop()).toEqual({ code: 0, signal: null })
      const next = await startRelay()
      expect((await next.presented()).serialNumber).toBe(old.serialNumber)
      expect(next.events('state_folder_unusable')).toMatchObject([
        { level: 'warn', reason: expect.stringContaining('read-only file system') },
      ])
      expect(await next.metric('derp_state_folder_usable')).toBe(0)
      expect(disk.files()).toEqual(before)
    })

    test('full when a first start creates key and certificate: the start fails, says why, and leaves nothing', async () => {
      disk.fill()
      const files = [
        '-c',
        `${disk.path}/derper.key`,
        '-certmode',
        'manual',
        '-certdir',
        `${disk.path}/certificates`,
      ]
      const other = [
        '-hostname',
        '127.0.0.1',
        '-a',
        '127.0.0.1:0',
        '-http-port',
        '0',
        '-stun=false',
        '-admin',
        'off',
      ]
      const [command = '', ...before] = disk.prefix
      const { code, stderr } = await runProcess(command, [...before, PROGRAM, 'serve', ...files, ...other])
      expect([code, stderr]).toEqual([
        1,
        expect.stringMatching(/cannot be written: it is on a full file system/),
      ])
      expect(disk.files()).toEqual(new Map())
    })
  },
)
