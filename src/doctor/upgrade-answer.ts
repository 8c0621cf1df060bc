// What answers at one place: to a DERP upgrade, with the programs that have had their hands on the answer, and which time it
// is there. One request on a connection of its own, without a login.

import { request as sendRequest, type IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import type { SharedResources } from '#client/shared-resources.ts'
import { openTcp, type ReachableAddress } from '#probe/addresses.ts'
import { within } from '#probe/check.ts'
import type { ProbedNode } from '#probe/probed-node.ts'
import { openTls } from '#probe/tls-checks.ts'
import { DERP_PATH } from '#protocol/upgrade.ts'

/** A place that should lead to the relay. */
export interface Place {
  readonly node: ProbedNode
  readonly address: ReachableAddress
}

export interface UpgradeAnswer {
  /** 101 from a relay. */
  readonly status: number
  /** Programs between here and the relay that name themselves. */
  readonly hops: readonly string[]
}

/** Fields by which proxies and content networks name themselves. */
const HOP_FIELDS = ['server', 'via', 'cf-ray', 'x-served-by', 'x-amz-cf-id'] as const
const HOP_CHARS_MAX = 80

interface Asking {
  readonly shared: SharedResources
  readonly timeoutMs: number
}

export async function askUpgrade(place: Place, asking: Asking): Promise<UpgradeAnswer> {
  const headers = { Connection: 'Upgrade', Upgrade: 'DERP' }
  const { status, fields } = await ask(place, { path: DERP_PATH, headers }, asking)
  return { status, hops: hopsIn(fields) }
}

/** Unix time by the header `Date`, to a second; undefined if it is not sent. */
export async function askTime(place: Place, asking: Asking): Promise<number | undefined> {
  const { fields } = await ask(place, { path: '/derp/probe', headers: {} }, asking)
  const ms = Date.parse(fields.date ?? '')
  return Number.isNaN(ms) ? undefined : ms
}

interface Question {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

interface Answer {
  readonly status: number
  readonly fields: IncomingHttpHeaders
}

async function ask(
  { node, address }: Place,
  question: Question,
  { shared, timeoutMs }: Asking,
): Promise<Answer> {
  const socket = node.isPlain
    ? (await openTcp(address.address, node.port, timeoutMs)).socket
    : (await openTls(node, address, { trust: { isInsecure: true }, shared, timeoutMs })).socket
  socket.on('error', () => undefined)
  try {
    return await within(timeoutMs, 'no HTTP answer', answerOn(socket, node.host, question))
  } finally {
    socket.destroy()
  }
}

function answerOn(socket: Socket, host: string, { path, headers }: Question): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const all = { Host: host, ...headers }
    const outgoing = sendRequest({ createConnection: () => socket, method: 'GET', path, headers: all })
    const onAnswer = (response: { statusCode?: number | undefined; headers: IncomingHttpHeaders }): void =>
      resolve({ status: response.statusCode ?? 0, fields: response.headers })
    outgoing.on('error', reject)
    outgoing.on('upgrade', onAnswer)
    outgoing.on('response', onAnswer)
    outgoing.end()
  })
}

function hopsIn(headers: IncomingHttpHeaders): readonly string[] {
  return HOP_FIELDS.flatMap((name) => {
    const value = headers[name]
    const text = (Array.isArray(value) ? value.join(', ') : (value ?? '')).slice(0, HOP_CHARS_MAX)
    return text === '' || /^derp/i.test(text) ? [] : [name === 'server' ? text : `${name}: ${text}`]
  })
}
