import { createServer, type RequestListener } from 'node:http'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { AdmissionDesk } from '#fleet/admission.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { admissionAnswers, admissionRequest, admissionSource } from '../vectors/admission.ts'
import { clientA } from '../vectors/keys.ts'

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

/** An HTTP server on loopback, or on a Unix socket. */
async function serve(listener: RequestListener, socketPath?: string): Promise<string> {
  const server = createServer(listener)
  server.listen(socketPath === undefined ? { port: 0, host: '127.0.0.1' } : { path: socketPath })
  await once(server, 'listening')
  closing.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return socketPath ?? `http://127.0.0.1:${(server.address() as AddressInfo).port}/verify`
}

const applicant = { key: clientA.publicKey, source: admissionSource }
const policy = { verifyUrl: undefined, verifyUrlFailOpen: false, tailscaledSocket: undefined }

describe('by URL', () => {
  it('asks with the key and the source, which may be unknown', async () => {
    const bodies: string[] = []
    const verifyUrl = await serve((request, response) => {
      request.setEncoding('utf8').on('data', (text: string) => bodies.push(text))
      request.on('end', () => response.end('{"Allow":true}'))
    })
    const desk = new AdmissionDesk({ ...policy, verifyUrl })
    expect(await desk.decide(applicant)).toBe(true)
    expect(await desk.decide({ ...applicant, source: '' })).toBe(true)
    expect(bodies).toEqual([admissionRequest, admissionRequest.replace(admissionSource, '')])
  })

  it.each(admissionAnswers)('takes $status $body for $isAdmitted', async ({ status, body, isAdmitted }) => {
    const verifyUrl = await serve((_request, response) => {
      response.statusCode = status
      response.end(body)
    })
    // Failing open is for desks that can't be reached, not for what they say.
    const desk = new AdmissionDesk({ ...policy, verifyUrl, verifyUrlFailOpen: true })
    expect(await desk.decide(applicant)).toBe(isAdmitted)
  })

  it('reads no more than a short answer', async () => {
    const verifyUrl = await serve((_request, response) => {
      response.end(`{"Allow":true,"more":"${'x'.repeat(5_000)}"}`)
    })
    expect(await new AdmissionDesk({ ...policy, verifyUrl }).decide(applicant)).toBe(false)
  })

  it('asks for 64 clients at once and lets the others wait their turn', async () => {
    let [current, most] = [0, 0]
    const answers: (() => void)[] = []
    const verifyUrl = await serve((_request, response) => {
      most = Math.max(most, ++current)
      answers.push(() => {
        current--
        response.end('{"Allow":true}')
      })
    })
    const desk = new AdmissionDesk({ ...policy, verifyUrl })
    const decisions = Array.from({ length: 200 }, async () => await desk.decide(applicant))
    let decided = 0
    const all = Promise.all(decisions.map(async (decision) => void ((await decision) && decided++)))
    await expect.poll(() => answers.length).toBe(64)
    while (decided < 200) {
      for (const answer of answers.splice(0)) answer()
      await new Promise((resolve) => setImmediate(resolve))
    }
    await all
    expect(most).toBe(64)
  })
})

describe('by the local tailscaled', () => {
  async function tailscaled(status: number, asked: string[] = []): Promise<string> {
    const folder = mkdtempSync(join(tmpdir(), 'tailscaled-'))
    closing.push(() => rmSync(folder, { recursive: true }))
    return await serve(
      (request, response) => {
        asked.push(`${request.headers.host} ${request.url}`)
        response.statusCode = status
        response.end('{}')
      },
      join(folder, 'tailscaled.sock'),
    )
  }

  it('asks who the key is, and takes 200 for known', async () => {
    const asked: string[] = []
    const desk = new AdmissionDesk({ ...policy, tailscaledSocket: await tailscaled(200, asked) })
    expect(await desk.decide(applicant)).toBe(true)
    const key = encodeURIComponent(publicKeyText(clientA.publicKey))
    expect(asked).toEqual([`local-tailscaled.sock /localapi/v0/whois?addr=${key}`])
  })

  it.each([404, 400, 500])('takes %i for unknown', async (status) => {
    const desk = new AdmissionDesk({ ...policy, tailscaledSocket: await tailscaled(status) })
    expect(await desk.decide(applicant)).toBe(false)
  })

  it('refuses everybody where there is no tailscaled, even if the URL would fail open', async () => {
    const tailscaledSocket = join(tmpdir(), 'no-such-tailscaled.sock')
    const verifyUrl = await serve((_request, response) => response.end('{"Allow":true}'))
    const desk = new AdmissionDesk({ verifyUrl, verifyUrlFailOpen: true, tailscaledSocket })
    expect(await desk.decide(applicant)).toBe(false)
  })
})
