// Probes of real relays, derpfleet and derper: without a fault, and with one fault at a time.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { issueCertificate, makeAuthority, makeCertificate, type Certificate } from '../support/certificate.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { freePort, startRelay, type Relay } from '../support/process.ts'
import { ALL_CHECKS, CHECKS_AFTER_LOGIN, Listener, OWN_RELAY, probed } from '../probe/probe-program.ts'

const derper = await foreignPrograms('derper-1.104.5')
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

    test('a pinned relay passes every check', async () => {
      const found = await probed([...target(), '-pin', pin()])
      expect([found.code, found.named('fail'), found.named('skip')]).toEqual([0, [], []])
      expect(found.named('ok')).toEqual(ALL_CHECKS)
      expect(found.report.nodes[0]).toMatchObject({
        ok: true,
        addresses: ['127.0.0.1'],
        serverKey: `nodekey:${relay.publicKey}`,
        certificate: { pin: pin(), names: ['localhost'], isSelfSigned: true, daysLeft: 89 },
      })
      expect(found.report.nodes[0]?.seenAs.ipv4).toMatch(/^127\.0\.0\.1:\d+$/)
    })

    test('accepts the pin without its flag, and the relay as a URL', async () => {
      const url = `https://localhost:${relay.port}/derp`
      const found = await probed([url, pin(), ...target().slice(1), '-websocket=false'])
      expect([found.code, found.named('skip'), found.named('fail')]).toEqual([0, ['websocket'], []])
    })

    test('explains how to pin a self-signed certificate, and makes the other checks', async () => {
      const found = await probed(target())
      expect([found.code, found.named('fail')]).toEqual([1, ['certificate']])
      expect(found.textOf('certificate')).toContain(`-pin ${pin()}`)
      expect(found.named('ok')).toEqual(ALL_CHECKS.filter((one) => one !== 'certificate'))
    })

    test('refuses a certificate that is not the pinned one', async () => {
      const other = `sha256-raw:${'0'.repeat(64)}`
      const found = await probed([...target(), '-pin', other])
      expect([found.code, found.named('fail')]).toEqual([1, ['certificate']])
      expect(found.textOf('certificate')).toContain(certificate.sha256)
    })

    test('-insecure skips the certificate check', async () => {
      const found = await probed([...target(), '-insecure'])
      expect([found.code, found.named('skip'), found.named('fail')]).toEqual([0, ['certificate'], []])
      expect(found.textOf('certificate')).toContain('not verified (-insecure)')
    })

    test('a relay without STUN fails the STUN check, unless -stun-port -1 skips it', async () => {
      await using silent = await startRelay({
        command,
        args: [...args, '-stun=false'],
        folder: folder.path,
      })
      const found = await probed([...target(silent), '-pin', pin(), '-timeout', '2s'])
      expect([found.code, found.named('fail')]).toEqual([1, ['stun 4']])
      const withoutStun = await probed([`localhost:${silent.port}`, pin(), '-stun-port', '-1', '-ipv4'])
      expect([withoutStun.code, withoutStun.named('skip')]).toEqual([0, ['stun 4']])
    })

    test('names admission as the likely cause of a refusal; with the mesh key it is admitted', async () => {
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
      expect(refused.textOf('login 4')).toMatch(/refused the login.*-mesh-psk-file/)
      expect(refused.named('ok')).toEqual(
        expect.arrayContaining(['certificate', 'meta-certificate', 'latency-check']),
      )
      const admitted = await probed([...target(strict), '-pin', pin(), ...mesh])
      expect([admitted.code, admitted.named('fail')]).toEqual([0, []])
      const wrong = folder.write('wrong', 'ab'.repeat(32))
      const unknown = await probed([...target(strict), '-pin', pin(), '-mesh-psk-file', wrong])
      expect(unknown.textOf('login 4')).toContain("this is not the relay's mesh key")
    })

    test.each([1, 2])('with %s keys that the relay allows, passes every check', async (count) => {
      const keys = Array.from({ length: count }, () => newKeyPair())
      const allowed = keys.map(({ publicKey }) => publicKeyText(publicKey))
      await using admissionService = await Listener.http(async (request, response) => {
        let asked = ''
        for await (const chunk of request as AsyncIterable<Buffer>) asked += chunk.toString()
        response.end(JSON.stringify({ Allow: allowed.some((key) => asked.includes(key)) }))
      })
      const url = `http://127.0.0.1:${admissionService.port}/verify`
      const options = { command, args: [...args, '-verify-client-url', url], folder: folder.path }
      await using strict = await startRelay(options)
      const paths = keys.map((key, at) => folder.write(`prober${at}.key`, formatKeyFile(key)))
      const found = await probed([...target(strict), '-pin', pin(), '-key-file', paths.join(',')])
      expect([found.code, found.named('fail'), found.named('skip')]).toEqual([0, [], []])
      expect(found.named('ok')).toEqual(ALL_CHECKS)
      expect(found.textOf('packet')).toMatch(count === 1 ? /to itself/ : /and back/)
      const stranger = folder.write('stranger.key', formatKeyFile(newKeyPair()))
      const refused = await probed([...target(strict), '-pin', pin(), '-key-file', stranger])
      expect(refused.textOf('login 4')).toMatch(/does not allow nodekey:[0-9a-f]{64}: add it to its list/)
    })

    test('does not send the mesh key to a relay whose certificate it does not trust', async () => {
      await writeFile(join(folder.path, 'psk'), MESH_KEY)
      const found = await probed([...target(), '-mesh-psk-file', join(folder.path, 'psk')])
      expect([found.code, found.named('fail')]).toEqual([1, ['certificate']])
      expect(found.textOf('login')).toContain('the mesh key is not sent')
      expect(found.report.nodes[0]?.serverKey).toBeNull()
    })

    test('trusts an authority from a flag or the environment, and no other', async () => {
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
      const untrusted = await probed(target(signed))
      expect(untrusted.named('fail')).toEqual(['certificate'])
      expect(untrusted.textOf('certificate')).toMatch(
        /issuer \(authority\) is neither in the chain nor trusted.*-ca/,
      )
    })
  })
}

test('a port where nothing listens fails the TCP check, and later checks are skipped', async () => {
  const port = await freePort()
  const found = await probed([`127.0.0.1:${port}`, '-stun-port', '-1'])
  expect([found.code, found.named('fail')]).toEqual([1, ['tcp 4']])
  expect(found.textOf('tcp 4')).toContain('nothing listens there')
  expect(found.named('skip')).toEqual(['stun 4', 'tls', 'certificate', 'login', ...CHECKS_AFTER_LOGIN])
})

test('a name that is not in DNS fails the address check', async () => {
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

  test('an IPv6 address in the map that accepts no connection fails', async () => {
    const found = await probed([mapFile({ IPv6: '::1' }), '-insecure', '-timeout', '2s'])
    expect([found.code, found.named('fail')]).toEqual([1, ['tcp 6', 'stun 6']])
  })

  test('a map without an IPv6 address skips the IPv6 checks', async () => {
    const found = await probed([mapFile({ IPv6: 'none' }), '-insecure'])
    expect([found.code, found.named('skip')]).toEqual([0, ['tcp 6', 'stun 6', 'certificate']])
    expect(found.textOf('tcp 6')).toContain('no IPv6 address')
  })

  test('with -ipv6 alone, a map without an IPv6 address fails', async () => {
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
