// Asks a STUN server for our own address, as a Tailscale client does, and times the answer. For probes and
// self-tests; no retransmission schedule, no NAT judgement. Each question has a transaction of its own, so that an answer
// is timed from the question that it answers.

import { createSocket } from 'node:dgram'
import { randomBytes } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { toHex } from '#protocol/bytes.ts'
import { ipToText } from '#protocol/ip-address.ts'
import { bindingRequest, readBindingAnswer, TRANSACTION_ID_BYTES } from '#protocol/stun.ts'

/** Lost datagrams are asked for again this often. */
const RETRY_MS = 500

/** What the server saw. */
export interface StunResult {
  readonly ip: string
  readonly port: number
  readonly roundTripMs: number
}

/** Asks `address` (an IP literal); rejects when nothing valid has come back in time. */
export async function askStun(address: string, port: number, timeoutMs: number): Promise<StunResult> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
  /** When each question was sent, by its transaction. */
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
        const askedMs = answer && sentMs.get(toHex(answer.transactionId))
        if (answer === undefined || askedMs === undefined) return
        resolve({ ip: ipToText(answer.ip), port: answer.port, roundTripMs: performance.now() - askedMs })
      })
      send()
    })
  } finally {
    clearInterval(retry)
    clearTimeout(timeout)
    socket.close()
  }
}
