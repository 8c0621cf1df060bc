// A program of its own that forwards ports as docker's userland proxy does: TCP and UDP, from an address of its own. The other
// side sees that address instead of the client's. Arguments: LISTEN FROM TO TCP_PORT UDP_PORT, the first three addresses.

import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { connect, createServer } from 'node:net'

const [listen = '', from = '', to = '', tcpPort = '', udpPort = ''] = process.argv.slice(2)

createServer((client) => {
  const relay = connect({ host: to, port: Number(tcpPort), localAddress: from })
  for (const [one, other] of [
    [client, relay],
    [relay, client],
  ] as const) {
    one.on('error', () => other.destroy())
    one.pipe(other)
  }
}).listen(Number(tcpPort), listen, () => process.stdout.write('forwarding\n'))

/** A socket for each client, so that answers find back. */
const clients = new Map<string, UdpSocket>()
const outside = createSocket('udp4')
outside.on('message', (message, { address, port }) => {
  const name = `${address}:${port}`
  const known = clients.get(name)
  if (known !== undefined) return known.send(message, Number(udpPort), to)
  const socket = createSocket('udp4')
  clients.set(name, socket)
  socket.on('message', (answer) => outside.send(answer, port, address))
  socket.bind(0, from, () => socket.send(message, Number(udpPort), to))
})
outside.bind(Number(udpPort), listen)
