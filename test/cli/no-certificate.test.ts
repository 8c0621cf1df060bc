// A relay that has no certificate yet, because its authority cannot be reached: it listens, refuses handshakes, is not ready,
// and its STUN is silent, so that clients choose another relay. It serves as soon as there is a certificate.

import { connect } from 'node:tls'
import { once } from 'node:events'
import { expect, it } from 'vitest'
import { askStun } from '#client/stun-request.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { CertificateStore } from '#certificates/certificate-store.ts'
import { goodPair } from '../config/certificates.ts'
import { fingerprintOf, presentedAt } from '../support/certificate-files.ts'
import { freePort, waitUntil } from '../support/process.ts'
import { FREE_PORTS, startDerpfleet } from './program.ts'

const SERVING =
  /"event":"relay_started".*"derp":"127.0.0.1:(\d+)".*"stun":"127.0.0.1:(\d+)".*"admin":"([^"]+)"/

it('listens without a certificate, is silent and not ready, and serves the first one', async () => {
  using folder = new TemporaryFolder()
  const directory = `https://127.0.0.1:${await freePort()}/directory`
  const place = ['-c', folder.at('derper.key'), '-certdir', folder.at('certs'), '-hostname', 'derp.example']
  await using relay = await startDerpfleet(
    ['serve', ...FREE_PORTS, ...place, '-certmode', 'letsencrypt', '-acme-directory', directory],
    { readyWhen: SERVING },
  )
  const [, derpPort, stunPort, admin] = SERVING.exec(relay.output) ?? []
  const [port, stun] = [Number(derpPort), Number(stunPort)]
  const readyz = async (): Promise<string> => await (await fetch(`http://${admin}/readyz`)).text()
  await waitUntil('the failure is told', async () =>
    /^not ready\nFAIL certificate: no certificate yet; .*failed: /.test(await readyz()),
  )
  expect(relay.output).toMatch(/"event":"certificate_refused","reason":"acme_unreachable"/)
  await expect(askStun('127.0.0.1', stun, 1_000)).rejects.toThrow()
  const refused = connect({ host: '127.0.0.1', port, servername: 'derp.example', rejectUnauthorized: false })
  await expect(once(refused, 'secureConnect')).rejects.toThrow()
  const metrics = await (await fetch(`http://${admin}/metrics`)).text()
  expect(metrics).toMatch(/\ntls_handshake_failures_total\{reason="no_certificate"\} [1-9]/)
  // Another relay with the same folder has got one.
  const pem = goodPair('derp.example')
  await new CertificateStore(folder.at('certs')).write('derp.example', pem)
  relay.signal('SIGHUP')
  await waitUntil('it is served', async () => (await presentedAt(port)) === fingerprintOf(pem.certificate))
  await waitUntil('STUN answers', async () => (await askStun('127.0.0.1', stun, 1_000)).roundTripMs > 0)
  await waitUntil('the relay is ready', async () => (await readyz()) === 'ready\n')
})
