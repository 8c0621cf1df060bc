// A program that sends datagrams at a rate until it is told to end, and then prints how many it has sent and how many came back. In a
// process of its own, so that who measures meanwhile is not kept waiting by it.
//
//   node udp-flood.ts FROM TO PORT PER_SECOND FILE      the file has the datagrams in base64, one a line

import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'

const TICK_MS = 2

const [from = '', to = '', port = '', perSecond = '', path = ''] = process.argv.slice(2)
const messages = readFileSync(path, 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => Buffer.from(line, 'base64'))
const socket = createSocket({
  type: 'udp4',
  lookup: (address, _options, callback) => callback(null, address, 4),
})
let [sent, answers] = [0, 0]
socket.on('message', () => (answers += 1))
socket.bind(0, from, () => {
  const beganMs = performance.now()
  setInterval(() => {
    const due = ((performance.now() - beganMs) / 1_000) * Number(perSecond)
    while (sent < due) socket.send(messages[sent++ % messages.length] ?? '', Number(port), to)
  }, TICK_MS)
  process.stdout.write('floods\n')
})
process.on('SIGTERM', () => {
  process.stdout.write(`${JSON.stringify({ sent, answers })}\n`, () => process.exit())
})
