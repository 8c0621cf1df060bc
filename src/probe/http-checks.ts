// The HTTP pages of a relay that clients use to measure latency and to detect captive portals. Each check sends one
// request on a new connection. The time is that of the request alone, as clients measure it.

import { request as sendRequest } from 'node:http'
import type { Socket } from 'node:net'
import { bracketed } from '#protocol/host-port.ts'
import { endpointText } from '#config/endpoint.ts'
import { openTcp, type ReachableAddress } from './addresses.ts'
import { CheckError, within, type CheckList, type Outcome } from './check.ts'
import type { RelayAccess } from './relay-access.ts'
import { openTls } from './tls-checks.ts'

interface PageRequest {
  readonly method: 'GET' | 'HEAD'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

interface PageResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly ms: number
}

/** The highest status that clients accept as a measurement. */
const STATUS_MAX = 299

export async function checkPages(
  access: RelayAccess,
  target: ReachableAddress,
  checks: CheckList,
): Promise<void> {
  const { node } = access
  const host = node.port === (node.isPlain ? 80 : 443) ? bracketed(node.host) : endpointText(node)
  const headers = { Host: host }
  await checks.run('latency-check', undefined, async () => {
    const path = '/derp/latency-check'
    return timed(path, await requestDerpPort(access, target, { method: 'GET', path, headers }))
  })
  await checks.run('browser-probe', undefined, async () => {
    const path = '/derp/probe'
    const response = await requestDerpPort(access, target, { method: 'HEAD', path, headers })
    if (response.status <= STATUS_MAX && response.headers['access-control-allow-origin'] !== '*') {
      throw new CheckError(
        `${path} answers without "Access-Control-Allow-Origin: *"`,
        'clients in browsers cannot measure this relay',
      )
    }
    return timed(path, response)
  })
  await checks.run('generate-204', undefined, () => checkCaptivePortal(access, target, host))
}

function timed(path: string, { status, ms }: PageResponse): Outcome<true> {
  if (status > STATUS_MAX) return { status: 'fail', detail: `${path} answers ${status}` }
  return { status: 'ok', value: true, detail: `${path} answers ${status}`, ms }
}

/** The captive-portal check of clients: the response must be the relay's own, unchanged. */
async function checkCaptivePortal(
  access: RelayAccess,
  target: ReachableAddress,
  derpHost: string,
): Promise<Outcome<true>> {
  const { node, settings } = access
  const challenge = `ts_${target.address}`
  const { httpPort } = node
  const host = httpPort === undefined ? derpHost : bracketed(target.address)
  const page: PageRequest = {
    method: 'GET',
    path: `/generate_204?t=${Math.floor(Date.now() / 1_000)}`,
    headers: { Host: host, 'X-Tailscale-Challenge': challenge },
  }
  const where = httpPort === undefined ? 'on the DERP port' : `on port ${httpPort}`
  const { status, headers, ms } =
    httpPort === undefined
      ? await requestDerpPort(access, target, page)
      : await send(() => plainSocket(target, httpPort, settings.timeoutMs), page, settings.timeoutMs)
  const hint = 'clients take this for a captive portal and warn their users'
  if (status !== 204) {
    const location = headers.location === undefined ? '' : ` (to ${String(headers.location)})`
    return { status: 'fail', detail: `answers ${status}${location} ${where}`, hint }
  }
  const echo = headers['x-tailscale-response']
  if (echo !== `response ${challenge}`) {
    const found = echo === undefined ? 'no X-Tailscale-Response' : `X-Tailscale-Response ${String(echo)}`
    return { status: 'fail', detail: `answers 204 ${where} with ${found}`, hint }
  }
  return { status: 'ok', value: true, detail: `answers 204 with the challenge ${where}`, ms }
}

function requestDerpPort(
  access: RelayAccess,
  target: ReachableAddress,
  page: PageRequest,
): Promise<PageResponse> {
  const { node, settings, tls, shared } = access
  const { timeoutMs } = settings
  const { trust } = tls
  const open = async (): Promise<Socket> =>
    trust === false
      ? await plainSocket(target, node.port, timeoutMs)
      : (await openTls(node, target, { trust, shared, timeoutMs })).socket
  return send(open, page, timeoutMs)
}

async function plainSocket(target: ReachableAddress, port: number, timeoutMs: number): Promise<Socket> {
  return (await openTcp(target.address, port, timeoutMs)).socket
}

/** Sends a request on a socket of its own. Does not wait for the body of the response. */
async function send(
  open: () => Promise<Socket>,
  page: PageRequest,
  timeoutMs: number,
): Promise<PageResponse> {
  const socket = await open()
  socket.on('error', () => undefined)
  try {
    return await within(timeoutMs, 'no HTTP answer', responseOn(socket, page))
  } finally {
    socket.destroy()
  }
}

function responseOn(socket: Socket, { method, path, headers }: PageRequest): Promise<PageResponse> {
  return new Promise((resolve, reject) => {
    const startMs = performance.now()
    const outgoing = sendRequest({ createConnection: () => socket, method, path, headers })
    outgoing.on('error', reject)
    outgoing.on('response', (response) => {
      const ms = performance.now() - startMs
      resolve({ status: response.statusCode ?? 0, headers: response.headers, ms })
    })
    outgoing.end()
  })
}
