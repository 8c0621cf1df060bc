// What a probe says of real relays, ours and derper: all good, and one thing wrong at a time.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { issueCertificate, makeAuthority, makeCertificate, type Certificate } from '../support/certificate.ts'
import { foreigners } from '../support/foreign.ts'
import { freeTcpPort, startRelay, type Relay } from '../support/process.ts'
import { ALL_GOOD, BEHIND_TLS, Listener, OWN_RELAY, probed } from '../probe/probe-program.ts'

const derper = await foreigners('derper-1.104.5')
const relays = [
  { name: 'derpfleet', ...OWN_RELAY },
  {
    name: 'derper 1.104.5',
    command: 'paths' in derper ? derper.paths['derper-1.104.5'] : undefined,
    args: [],
  },
]

const MESH_KEY = '6d'.repeat(32)

for (const { name, command = '', args } of relays) {
  describe.skipIf(command === '')(name, () => {
    let folder: TemporaryFolder
    let certificate: Certificate
    let relay: Relay

    beforeAll(async () => {
      folder = new TemporaryFolder()
      certificate = await makeCertificate(folder.path, 'localhost')
      relay = await startRelay({ command, args, folder: folder.path })
    })

    afterAll(async () => {
      await relay[Symbol.asyncDispose]()
      folder[Symbol.dispose]()
    })

    const pin = (): string => `sha256-raw:${certificate.sha256}`
    const target = (at = relay): readonly string[] => [
      `localhost:${at.port}`,
      '-stun-port',
      `${at.stunPort}`,
      '-ipv4',
    ]

    test('finds a pinned relay good in everything', async () => {
      const found = await probed([...target(), '-pin', pin()])
      expect([found.code, found.named('fail'), found.named('skip')]).toEqual([0, [], []])
      expect(found.named('ok')).toEqual(ALL_GOOD)
      expect(found.report.nodes[0]).toMatchObject({
        ok: true,
        addresses: ['127.0.0.1'],
        serverKey: `nodekey:${relay.publicKey}`,
        certificate: { pin: pin(), names: ['localhost'], isSelfSigned: true, daysLeft: 89 },
      })
      expect(found.report.nodes[0]?.seenAs.ipv4).toMatch(/^127\.0\.0\.1:\d+$/)
    })

    test('takes the pin without its flag, and the relay as a URL', async () => {
      const url = `https://localhost:${relay.port}/derp`
      const found = await probed([url, pin(), ...target().slice(1), '-websocket=false'])
      expect([found.code, found.named('skip'), found.named('fail')]).toEqual([0, ['websocket'], []])
    })

    test('says how to pin a certificate that nobody has signed, and goes on', async () => {
      const found = await probed(target())
      expect([found.code, found.named('fail')]).toEqual([1, ['certificate']])
      expect(found.words('certificate')).toContain(`-pin ${pin()}`)
      expect(found.named('ok')).toEqual(ALL_GOOD.filter((one) => one !== 'certificate'))
    })

    test('does not take another certificate for the pinned one', async () => {
      const other = `sha256-raw:${'0'.repeat(64)}`
      const found = await probed([...target(), '-pin', other])
      expect([found.code, found.named('fail')]).toEqual([1, ['certificate']])
      expect(found.words('certificate')).toContain(certificate.sha256)
    })

    test('verifies nothing when told so, and says so', async () => {
      const found = await probed([...target(), '-insecure'])
      expect([found.code, found.named('skip'), found.named('fail')]).toEqual([0, ['certificate'], []])
      expect(found.words('certificate')).toContain('not verified (-insecure)')
    })

    test('fails by STUN where STUN is off, unless it is not asked', async () => {
      await using silent = await startRelay({
        command,
        args: [...args, '-stun=false'],
        folder: folder.path,
      })
      const found = await probed([...target(silent), '-pin', pin(), '-timeout', '2s'])
      expect([found.code, found.named('fail')]).toEqual([1, ['stun 4']])
      const unasked = await probed([`localhost:${silent.port}`, pin(), '-stun-port', '-1', '-ipv4'])
      expect([unasked.code, unasked.named('skip')]).toEqual([0, ['stun 4']])
    })

    test('names admission as the likely reason of a refusal; the mesh key gets in', async () => {
      await using admissionService = await Listener.http((_request, response) =>
        response.end('{"Allow":false}'),
      )
      await writeFile(join(folder.path, 'psk'), MESH_KEY)
      const admission = ['-verify-client-url', `http://127.0.0.1:${admissionService.port}/verify`]
      const mesh = ['-mesh-psk-file', join(folder.path, 'psk')]
      const options = { command, args: [...args, ...admission, ...mesh], folder: folder.path }
      await using strict = await startRelay(options)
      const refused = await probed([...target(strict), '-pin', pin()])
      expect([refused.code, refused.named('fail')]).toEqual([1, ['login 4']])
      expect(refused.words('login 4')).toMatch(/refused the login.*-mesh-psk-file/)
      expect(refused.named('ok')).toEqual(
        expect.arrayContaining(['certificate', 'meta-certificate', 'latency-check']),
      )
      const admitted = await probed([...target(strict), '-pin', pin(), ...mesh])
      expect([admitted.code, admitted.named('fail')]).toEqual([0, []])
      const wrong = folder.write('wrong', 'ab'.repeat(32))
      const stranger = await probed([...target(strict), '-pin', pin(), '-mesh-psk-file', wrong])
      expect(stranger.words('login 4')).toContain("the mesh key is not this relay's")
    })

    test('tells the mesh key to nobody whose certificate it does not trust', async () => {
      await writeFile(join(folder.path, 'psk'), MESH_KEY)
      const found = await probed([...target(), '-mesh-psk-file', join(folder.path, 'psk')])
      expect([found.code, found.named('fail')]).toEqual([1, ['certificate']])
      expect(found.words('login')).toContain('the mesh key is not told')
      expect(found.report.nodes[0]?.serverKey).toBeNull()
    })

    test('trusts an authority that is named, by flag or environment, and no other', async () => {
      using own = new TemporaryFolder()
      const authority = await makeAuthority(own.path, 'authority')
      const issued = await issueCertificate(own.path, 'localhost', authority)
      await using signed = await startRelay({ command, args, folder: own.path })
      const byFlag = await probed([...target(signed), '-ca', authority.certPath])
      expect([byFlag.code, byFlag.named('fail')]).toEqual([0, []])
      expect(byFlag.report.nodes[0]?.certificate).toMatchObject({
        issuer: 'authority',
        isSelfSigned: false,
        pin: `sha256-raw:${issued.sha256}`,
      })
      const env = { SSL_CERT_FILE: authority.certPath }
      expect((await probed(target(signed), { env })).code).toBe(0)
      const stranger = await probed(target(signed))
      expect(stranger.named('fail')).toEqual(['certificate'])
      expect(stranger.words('certificate')).toMatch(
        /issuer \(authority\) is neither presented nor trusted.*-ca/,
      )
    })
  })
}

test('a port where nothing listens fails by TCP, and what is behind it is skipped', async () => {
  const port = await freeTcpPort()
  const found = await probed([`127.0.0.1:${port}`, '-stun-port', '-1'])
  expect([found.code, found.named('fail')]).toEqual([1, ['tcp 4']])
  expect(found.words('tcp 4')).toContain('nothing listens there')
  expect(found.named('skip')).toEqual(['stun 4', 'tls', 'certificate', 'login', ...BEHIND_TLS])
})

test('a name that DNS does not have fails by its addresses', async () => {
  const found = await probed(['relay.invalid', '-stun-port', '-1'])
  expect([found.code, found.named('fail')]).toEqual([1, ['addresses']])
})

describe('over IPv6', () => {
  let folder: TemporaryFolder
  let relay: Relay

  beforeAll(async () => {
    folder = new TemporaryFolder()
    await makeCertificate(folder.path, 'localhost')
    relay = await startRelay({ ...OWN_RELAY, folder: folder.path })
  })

  afterAll(async () => {
    await relay[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  test('an address of a map that nothing listens on is no skip', async () => {
    const found = await probed([mapFile({ IPv6: '::1' }), '-insecure', '-timeout', '2s'])
    expect([found.code, found.named('fail')]).toEqual([1, ['tcp 6', 'stun 6']])
  })

  test('a map that has none is a skip', async () => {
    const found = await probed([mapFile({ IPv6: 'none' }), '-insecure'])
    expect([found.code, found.named('skip')]).toEqual([0, ['tcp 6', 'stun 6', 'certificate']])
    expect(found.words('tcp 6')).toContain('no IPv6 address')
  })

  test('asked for alone, having none fails', async () => {
    const found = await probed([mapFile({ IPv6: 'none' }), '-insecure', '-ipv6'])
    expect([found.code, found.named('fail')]).toEqual([1, ['addresses']])
  })

  function mapFile(more: object): string {
    const node = {
      Name: '900a',
      HostName: 'localhost',
      IPv4: '127.0.0.1',
      DERPPort: relay.port,
      STUNPort: relay.stunPort,
      ...more,
    }
    return folder.write('map.json', JSON.stringify({ Regions: { 900: { RegionID: 900, Nodes: [node] } } }))
  }
})
