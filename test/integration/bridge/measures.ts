// What is measured through a tunnel from alice to bob of a lab, whatever VPN makes it.

import { runOk, waitUntil, type RunningProcess } from '../../support/process.ts'
import type { VpnLab } from '../../support/vpn-lab.ts'
import { setTimeout as sleep } from 'node:timers/promises'

export function say(text: string): void {
  process.stderr.write(`bridge: ${text}\n`)
}

/** Waits until a ping passes; returns after how many ms. */
export async function firstPing(lab: VpnLab, address: string, limitMs = 30_000): Promise<number> {
  const startMs = performance.now()
  const passes = async (): Promise<boolean> => {
    await lab.run('alice', 'ping', '-c', '1', '-W', '1', address)
    return true
  }
  await waitUntil('a ping passes', passes, limitMs)
  return performance.now() - startMs
}

/** The pause of the pings that an action causes, beyond the time that the action takes itself. */
export async function pausedBy(pings: Pings, what: string, action: () => Promise<void>): Promise<number> {
  await sleep(1_500)
  const from = Date.now() / 1_000
  await action()
  const took = Date.now() / 1_000 - from
  await sleep(4_000)
  const gap = pings.longestGap(from - 1)
  say(
    `${what}: ${gap.toFixed(2)} s without answers, ${took.toFixed(2)} s of them until the program ran again`,
  )
  return Math.max(0, gap - took)
}

/** Pings every 100 ms, and the longest time without an answer. */
export class Pings {
  readonly #process: RunningProcess

  private constructor(process: RunningProcess) {
    this.#process = process
  }

  static async start(lab: VpnLab, address: string): Promise<Pings> {
    const args = ['-D', '-n', '-i', '0.1', '-W', '1', address]
    return new Pings(await lab.start('alice', { readyWhen: /^PING/m }, 'ping', ...args))
  }

  /** Answers so far: when each came, in seconds, and how long it took, in ms. */
  get answers(): readonly { readonly at: number; readonly ms: number }[] {
    const lines = this.#process.output.matchAll(/^\[(\d+\.\d+)\].*time=([\d.]+) ms/gm)
    return [...lines].map(([, at, ms]) => ({ at: Number(at), ms: Number(ms) }))
  }

  /** The longest time between two answers since a time, in seconds. */
  longestGap(since = 0): number {
    const times = this.answers.map(({ at }) => at).filter((at) => at >= since)
    return Math.max(0, ...times.slice(1).map((at, i) => at - (times[i] ?? at)))
  }

  async stop(): Promise<{ readonly sent: number; readonly received: number }> {
    this.#process.signal('SIGINT')
    await this.#process.exited
    const [, sent = '0', received = '0'] =
      /(\d+) packets transmitted, (\d+) received/.exec(this.#process.output) ?? []
    return { sent: Number(sent), received: Number(received) }
  }
}

const RECEIVE = `
const { createHash } = require('node:crypto')
const hash = createHash('sha256')
require('node:net').createServer((socket) => {
  socket.on('data', (bytes) => hash.update(bytes))
  socket.on('end', () => socket.end(hash.digest('hex')))
  socket.on('close', () => process.exit())
}).listen(7000, process.argv[1], () => console.log('listening'))`
const SEND = `
const { createHash, randomFillSync } = require('node:crypto')
const hash = createHash('sha256')
const socket = require('node:net').connect(7000, process.argv[1])
let left = Number(process.argv[2]), answer = ''
const start = Date.now()
socket.on('data', (bytes) => (answer += bytes))
socket.on('end', () => console.log(JSON.stringify({ isEqual: answer === hash.digest('hex'), ms: Date.now() - start })))
const write = () => {
  while (left > 0) {
    const chunk = randomFillSync(Buffer.allocUnsafe(Math.min(left, 1 << 18)))
    left -= chunk.length
    hash.update(chunk)
    if (!socket.write(chunk)) return void socket.once('drain', write)
  }
  socket.end()
}
socket.on('connect', write)`

/** Sends bytes over TCP from alice to an address of bob's in the tunnel, and compares hashes. */
export async function transfer(
  lab: VpnLab,
  address: string,
  bytes: number,
): Promise<{ isEqual: boolean; ms: number }> {
  await lab.start('bob', { readyWhen: /listening/ }, process.execPath, '-e', RECEIVE, address)
  const [command, args] = lab.command('alice', process.execPath, '-e', SEND, address, `${bytes}`)
  return JSON.parse(await runOk(command, args, { timeoutMs: 120_000 })) as { isEqual: boolean; ms: number }
}
