// A host with several addresses, a STUN server and its clients: run in a network namespace of its own. Prints what it has observed
// as one line of JSON. Not a test: stun-addresses.test.ts checks the line.

import { execFileSync } from 'node:child_process'
import { createSocket, type RemoteInfo } from 'node:dgram'
import { randomBytes } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { bindingRequest, readBindingAnswer } from '#protocol/stun.ts'
import { StunCounters, StunServer } from '#transport/stun-server.ts'

const ip = (...args: readonly string[]): unknown => execFileSync('ip', args)

/** The address from which the server answers a request to `address`; undefined if it does not answer. */
async function answeredFrom(address: string, port: number): Promise<string | undefined> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
  try {
    const answer = new Promise<string>((resolve) => {
      socket.on('message', (_bytes, { address: from }: RemoteInfo) => resolve(from))
    })
    // The client has another address; else the system would choose the right one by chance.
    await new Promise<void>((resolve) => {
      socket.bind(0, isIPv6(address) ? 'fd00:9::1' : '198.18.9.1', resolve)
    })
    socket.send(bindingRequest(randomBytes(12)), port, address)
    return await Promise.race([answer, sleep(1_000, undefined)])
  } finally {
    socket.close()
  }
}

/** Whether each of many clients that send requests at once, over a slow network, gets its own answer or none. */
async function sendBurst(port: number, count: number): Promise<{ right: number; wrong: number }> {
  execFileSync('tc', [
    'qdisc',
    'add',
    'dev',
    'lo',
    'root',
    'tbf',
    'rate',
    '4mbit',
    'burst',
    '10kb',
    'limit',
    '4mb',
  ])
  const result = { right: 0, wrong: 0 }
  const sockets = await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = createSocket('udp4')
      const id = randomBytes(12)
      await new Promise<void>((resolve) => {
        socket.bind(0, '198.18.9.1', resolve)
      })
      socket.on('message', (bytes) => {
        const answer = readBindingAnswer(bytes)
        const isRight =
          answer !== undefined && id.equals(answer.transactionId) && answer.port === socket.address().port
        result[isRight ? 'right' : 'wrong']++
      })
      return { socket, id }
    }),
  )
  for (const { socket, id } of sockets) socket.send(bindingRequest(id), port, '198.18.9.2')
  for (let last = -1; last < result.right + result.wrong;) {
    last = result.right + result.wrong
    await sleep(1_000)
  }
  for (const { socket } of sockets) socket.close()
  return result
}

ip('link', 'set', 'lo', 'up')
for (const address of ['198.18.9.1/32', '198.18.9.2/32']) ip('addr', 'add', address, 'dev', 'lo')
const host = process.argv[2] ?? '::'
if (host === '::') {
  for (const address of ['fd00:9::1/128', 'fd00:9::2/128'])
    ip('-6', 'addr', 'add', address, 'dev', 'lo', 'nodad')
}
const server = new StunServer({ host, port: 0 }, new StunCounters(StunCounters.memory()))
const port = await server.listen()
const addresses = [
  '127.0.0.1',
  '198.18.9.1',
  '198.18.9.2',
  ...(host === '::' ? ['::1', 'fd00:9::1', 'fd00:9::2'] : []),
]
const from: Record<string, string | undefined> = {}
for (const address of addresses) from[address] = await answeredFrom(address, port)

ip('addr', 'add', '198.18.9.3/32', 'dev', 'lo')
const isNewAnswered = (await answeredFrom('198.18.9.3', port)) !== undefined
await server.updateAddresses()
from['198.18.9.3'] = await answeredFrom('198.18.9.3', port)

ip('addr', 'del', '198.18.9.3/32', 'dev', 'lo')
await server.updateAddresses()
ip('addr', 'add', '198.18.9.3/32', 'dev', 'lo')
await server.updateAddresses()
from['198.18.9.3 again'] = await answeredFrom('198.18.9.3', port)

const burst = await sendBurst(port, 3_000)
server.close()
process.stdout.write(`${JSON.stringify({ from, isNewAnswered, burst })}\n`)
