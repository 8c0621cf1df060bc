// Asks a STUN server for this host's address, as a Tailscale client does, and measures the round trip. For probes and
// self-checks: no retransmission schedule, no conclusions about NAT. Each request has its own transaction, so that an answer
// is timed from the request that it answers.

import { createSocket } from 'node:dgram'
import { randomBytes } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { toHex } from '#protocol/bytes.ts'
import { ipToText } from '#protocol/ip-address.ts'
import { bindingRequest, readBindingAnswer, TRANSACTION_ID_BYTES } from '#protocol/stun.ts'

/** Interval of further requests, in case datagrams are lost. */
const RETRY_MS = 500

/** The address that the server saw. */
export interface StunResult {
  readonly ip: string
  readonly port: number
  readonly roundTripMs: number
}

/** Sends requests to `address`, an IP literal. Rejects without a valid answer in time. */
export async function askStun(address: string, port: number, timeoutMs: number): Promise<StunResult> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
  /** The time of each request, by its transaction. */
  const sentMs = new Map<string, number>()
  const send = (): void => {
    const transactionId = randomBytes(TRANSACTION_ID_BYTES)
    sentMs.set(toHex(transactionId), performance.now())
    socket.send(bindingRequest(transactionId), port, address)
  }
  const retry = setInterval(send, RETRY_MS)
  let timeout: NodeJS.Timeout | undefined
  try {
    return await new Promise((resolve, reject) => {
      timeout = setTimeout(() => reject(new Error(`no STUN answer within ${timeoutMs} ms`)), timeoutMs)
      socket.on('error', reject)
      socket.on('message', (message) => {
        const answer = readBindingAnswer(message)
        const requestMs = answer && sentMs.get(toHex(answer.transactionId))
        if (answer === undefined || requestMs === undefined) return
        resolve({ ip: ipToText(answer.ip), port: answer.port, roundTripMs: performance.now() - requestMs })
      })
      send()
    })
  } finally {
    clearInterval(retry)
    clearTimeout(timeout)
    socket.close()
  }
}
