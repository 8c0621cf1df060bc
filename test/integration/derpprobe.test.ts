// derpprobe, Tailscale's checker of DERP regions, on a region with the relay under test. It checks the map, the
// certificate against trusted roots, STUN over IPv4, and a packet through the relay. derper runs through the same
// tests, which shows that they can pass.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { issueCertificate, makeAuthority, makeCertificate } from '../support/certificate.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { type Relay, runProcess, type RunResult, startRelay } from '../support/process.ts'
import { PROGRAM } from '../support/program-path.ts'

/** Each of the four probes fails after 12 s (four fifths of its interval). */
const testTimeoutMs = 90_000

const probes = await foreignPrograms('derpprobe')
const derper = await foreignPrograms('derper-1.104.5')
const derpprobe = 'paths' in probes ? probes.paths.derpprobe : undefined

const relays: readonly { name: string; command: string | undefined; args: readonly string[] }[] = [
  {
    name: 'derper 1.104.5',
    command: 'paths' in derper ? derper.paths['derper-1.104.5'] : undefined,
    args: [],
  },
  { name: 'derpfleet', command: PROGRAM, args: ['serve'] },
]

for (const { name, command, args } of relays) {
  describe.skipIf(derpprobe === undefined || command === undefined)(`derpprobe checks ${name}`, () => {
    let folder: string
    let relay: Relay

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'relay-'))
      await issueCertificate(folder, 'localhost', await makeAuthority(folder, 'authority'))
      relay = await startRelay({ command: command ?? '', args, folder })
    }, testTimeoutMs)

    afterAll(async () => {
      await relay?.[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true })
    }, testTimeoutMs)

    test('every probe is green', { timeout: testTimeoutMs }, async () => {
      const result = await probe(relay, folder, join(folder, 'authority.crt'))
      expect(result.stderr + result.stdout).not.toContain('bad: ')
      expect(good(result)).toEqual([
        'derp/lab/900a/900a/mesh',
        'derp/lab/900a/tls',
        'derp/lab/900a/udp',
        'derpmap-probe',
      ])
      expect(result.code).toBe(0)
    })

    test('a certificate of an unknown authority is bad', { timeout: testTimeoutMs }, async () => {
      const other = await makeCertificate(folder, 'other')
      const result = await probe(relay, folder, other.certPath)
      expect(good(result)).toEqual(['derp/lab/900a/udp', 'derpmap-probe'])
      expect(result.code).toBe(1)
    })
  })
}

/** Runs every probe once; trusts only the roots of the given file. */
async function probe(relay: Relay, folder: string, rootsPath: string): Promise<RunResult> {
  const mapPath = join(folder, 'map.json')
  await writeFile(mapPath, JSON.stringify(derpMap(relay)))
  const map = `-derp-map=${pathToFileURL(mapPath).href}`
  const env = { SSL_CERT_FILE: rootsPath, SSL_CERT_DIR: join(folder, 'none') }
  return runProcess(derpprobe ?? '', [map, '-once', '-spread=false'], { env, timeoutMs: testTimeoutMs })
}

/** The map names no IPv6 address, so derpprobe does not check IPv6. */
function derpMap({ port, stunPort }: Relay): object {
  const node = {
    Name: '900a',
    RegionID: 900,
    HostName: 'localhost',
    IPv4: '127.0.0.1',
    DERPPort: port,
    STUNPort: stunPort,
  }
  const lab = { RegionID: 900, RegionCode: 'lab', RegionName: 'Laboratory', Nodes: [node] }
  return { Regions: { 900: lab } }
}

function good({ stdout, stderr }: RunResult): readonly string[] {
  return [...(stdout + stderr).matchAll(/good: ([^\s:]+)/g)].map(([, name]) => name ?? '').sort()
}
