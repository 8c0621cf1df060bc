// The pages of a relay that clients time, or look for captive portals with: one request on a fresh connection each,
// timed from the request on, as clients do.

import { request } from 'node:http'
import type { Socket } from 'node:net'
import { endpointText } from '#config/listener-settings.ts'
import { openTcp, type ReachableAddress } from './addresses.ts'
import { CheckError, within, type CheckList, type Outcome } from './check.ts'
import type { RelayAccess } from './login-checks.ts'
import { openTls } from './tls-checks.ts'

interface PageRequest {
  readonly method: 'GET' | 'HEAD'
  readonly path: string
  readonly fields: Readonly<Record<string, string>>
}

interface PageResponse {
  readonly status: number
  readonly fields: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly ms: number
}

/** The highest status with which clients take an answer for a measurement. */
const STATUS_MAX = 299

export async function checkPages(access: RelayAccess, place: ReachableAddress, checks: CheckList): Promise<void> {
  const { node } = access
  const host = node.port === (node.isPlain ? 80 : 443) ? bracketed(node.host) : endpointText(node)
  const fields = { Host: host }
  await checks.run('latency-check', undefined, async () => {
    const path = '/derp/latency-check'
    return timed(path, await askDerpPort(access, place, { method: 'GET', path, fields }))
  })
  await checks.run('browser-probe', undefined, async () => {
    const path = '/derp/probe'
    const answer = await askDerpPort(access, place, { method: 'HEAD', path, fields })
    if (answer.status <= STATUS_MAX && answer.fields['access-control-allow-origin'] !== '*') {
      throw new CheckError(
        `${path} answers without "Access-Control-Allow-Origin: *"`,
        'clients in browsers can not measure this relay',
      )
    }
    return timed(path, answer)
  })
  await checks.run('generate-204', undefined, () => askForPortal(access, place, host))
}

function timed(path: string, { status, ms }: PageResponse): Outcome<true> {
  if (status > STATUS_MAX) return { status: 'fail', detail: `${path} answers ${status}` }
  return { status: 'ok', value: true, detail: `${path} answers ${status}`, ms }
}

/** As clients look for captive portals: whether the answer is the relay's own, unchanged. */
async function askForPortal(access: RelayAccess, place: ReachableAddress, derpHost: string): Promise<Outcome<true>> {
  const { node, settings } = access
  const challenge = `ts_${place.address}`
  const { httpPort } = node
  const host = httpPort === undefined ? derpHost : bracketed(place.address)
  const pageRequest: PageRequest = {
    method: 'GET',
    path: `/generate_204?t=${Math.floor(Date.now() / 1_000)}`,
    fields: { Host: host, 'X-Tailscale-Challenge': challenge },
  }
  const where = httpPort === undefined ? 'on the DERP port' : `on port ${httpPort}`
  const { status, fields, ms } =
    httpPort === undefined
      ? await askDerpPort(access, place, pageRequest)
      : await ask(() => plainSocket(place, httpPort, settings.timeoutMs), pageRequest, settings.timeoutMs)
  const hint = 'clients take this for a captive portal and warn their users'
  if (status !== 204) {
    const target = fields.location === undefined ? '' : ` (to ${String(fields.location)})`
    return { status: 'fail', detail: `answers ${status}${target} ${where}`, hint }
  }
  const echo = fields['x-tailscale-response']
  if (echo !== `response ${challenge}`) {
    const found = echo === undefined ? 'no X-Tailscale-Response' : `X-Tailscale-Response ${String(echo)}`
    return { status: 'fail', detail: `answers 204 ${where} with ${found}`, hint }
  }
  return { status: 'ok', value: true, detail: `answers 204 with the challenge ${where}`, ms }
}

function askDerpPort(access: RelayAccess, place: ReachableAddress, pageRequest: PageRequest): Promise<PageResponse> {
  const { node, settings, tlsResult, shared } = access
  const { timeoutMs } = settings
  const { tls } = tlsResult
  const open = async (): Promise<Socket> =>
    tls === false
      ? await plainSocket(place, node.port, timeoutMs)
      : (await openTls(node, place, { tls, shared, timeoutMs })).socket
  return ask(open, pageRequest, timeoutMs)
}

async function plainSocket(place: ReachableAddress, port: number, timeoutMs: number): Promise<Socket> {
  return (await openTcp(place.address, port, timeoutMs)).socket
}

/** Asks over a socket of its own. The body, if any, is not waited for. */
async function ask(open: () => Promise<Socket>, pageRequest: PageRequest, timeoutMs: number): Promise<PageResponse> {
  const socket = await open()
  socket.on('error', () => undefined)
  try {
    return await within(timeoutMs, 'no HTTP answer', answerOn(socket, pageRequest))
  } finally {
    socket.destroy()
  }
}

function answerOn(socket: Socket, { method, path, fields }: PageRequest): Promise<PageResponse> {
  return new Promise((resolve, reject) => {
    const startMs = performance.now()
    const outgoing = request({ createConnection: () => socket, method, path, headers: fields })
    outgoing.on('error', reject)
    outgoing.on('response', (response) => {
      const ms = performance.now() - startMs
      resolve({ status: response.statusCode ?? 0, fields: response.headers, ms })
    })
    outgoing.end()
  })
}

/** A host as it stands in a Host field. */
function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}
