import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, it } from 'vitest'
import { remoteText } from '#transport/remote-address.ts'
import { unacknowledgedSockets, UnacknowledgedWatch } from '#transport/unacknowledged-watch.ts'
import { LIMITS, LiveRelay } from '../support/live-relay.ts'
import { canMakeNetworks, FarHost } from '../support/network.ts'

// The tables as Linux prints them on a little-endian machine; the last fields are not used.
const table = [
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
  '   0: 0100007F:0CD3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100',
  '   1: 0100007F:0CD3 077100CB:A2A9 01 00000098:00000000 01:00000A3B 00000005     0        0 2 4 0 20',
  '   2: 0100007F:0CD3 087100CB:A2AA 01 00000098:00000000 01:00000014 00000000     0        0 3 4 0 20',
  '   3: 0100007F:0CD3 097100CB:A2AB 01 00000098:00000000 04:00000014 00000003     0        0 4 4 0 20',
].join('\n')
const table6 = [
  '  sl  local_address                         remote_address                        st tx_queue …',
  '   0: 00000000000000000000000001000000:0CD3 B80D0120000000000000000007000000:01BB 01 00000098:00000000 01:00000A3B 00000002 0 0 5',
  '   1: 0000000000000000FFFF00000100007F:0CD3 0000000000000000FFFF00000A7100CB:A2AC 01 00000001:00000000 01:00000A3B 00000001 0 0 6',
].join('\n')

describe('reads from the kernel’s tables', () => {
  it('sockets that retransmit, not those that send, probe a full window or listen', () => {
    const found = unacknowledgedSockets(table)
    expect(found.map(({ remote, localPort }) => [remoteText(remote), localPort])).toEqual([
      ['203.0.113.7:41641', 3283],
    ])
  })

  it('IPv6 and mapped IPv4', () => {
    expect(unacknowledgedSockets(table6).map(({ remote }) => remoteText(remote))).toEqual([
      '[2001:db8::7]:443',
      '203.0.113.10:41644',
    ])
  })
})

it('gives up only sockets that have not acknowledged for the whole limit, on this port', () => {
  const [socket] = unacknowledgedSockets(table)
  if (socket === undefined) throw new Error('the table has one')
  const watch = new UnacknowledgedWatch(3283, 15_000)
  const other = new UnacknowledgedWatch(443, 15_000)
  expect(watch.update([socket], 0)).toEqual([])
  expect(watch.update([socket], 14_999)).toEqual([])
  // It has acknowledged in between, so its time begins anew.
  expect(watch.update([], 15_000)).toEqual([])
  expect(watch.update([socket], 16_000)).toEqual([])
  expect(watch.update([socket], 31_000)).toEqual([socket.remote])
  for (const atMs of [0, 60_000]) expect(other.update([socket], atMs)).toEqual([])
})

it('reads the tables only when something was retransmitted, or a socket is already known to be unacknowledged', async () => {
  const counters = (retransmitted: number): string =>
    `Ip: Forwarding\nIp: 1\nTcp: InSegs OutSegs RetransSegs InErrs\nTcp: 70 80 ${retransmitted} 0\n`
  const paths: string[] = []
  let [snmp, tcp] = [counters(3), '']
  const read = async (path: string): Promise<string> => {
    paths.push(path)
    if (path.endsWith('snmp')) return snmp
    return path.endsWith('tcp') ? tcp : ''
  }
  const watch = new UnacknowledgedWatch(3283, 15_000, read)
  const check = async (nowMs: number): Promise<readonly [tables: number, dead: number]> => {
    const dead = await watch.check(nowMs)
    const tables = paths.splice(0).filter((path) => /tcp6?$/.test(path)).length
    return [tables, dead.length]
  }
  expect(await check(0)).toEqual([2, 0])
  expect(await check(5_000)).toEqual([0, 0])
  ;[snmp, tcp] = [counters(4), table]
  expect(await check(10_000)).toEqual([2, 0])
  expect(await check(15_000)).toEqual([2, 0])
  expect(await check(25_000)).toEqual([2, 1])
  tcp = ''
  expect(await check(30_000)).toEqual([2, 0])
  expect(await check(35_000)).toEqual([0, 0])
  snmp = 'no counters'
  expect(await check(40_000)).toEqual([2, 0])
  expect(await check(45_000)).toEqual([2, 0])
})

it('does not check again while it checks', async () => {
  let readCount = 0
  const { promise, resolve } = Promise.withResolvers<string>()
  const watch = new UnacknowledgedWatch(3283, 15_000, async () => {
    readCount++
    return await promise
  })
  const first = watch.check(0)
  await watch.check(5_000)
  expect(readCount).toBe(1)
  resolve('')
  await first
  await watch.check(10_000)
  expect(readCount).toBe(6)
})

const isPossible = await canMakeNetworks()
if (!isPossible)
  process.stderr.write('SKIPPING the pulled cable: network namespaces need root and iproute2\n')

it.skipIf(!isPossible).for([
  { native: 'on', certificate: true, way: 'socket_option' },
  { native: 'on', certificate: false, way: 'socket_option' },
  { native: 'off', certificate: true, way: 'proc_scan' },
] as const)(
  'a client whose cable is pulled is disconnected soon after ($way, TLS $certificate)',
  { timeout: 60_000 },
  async ({ native, certificate, way }) => {
    await using host = await FarHost.make()
    await using relay = await LiveRelay.start({
      ...(certificate ? {} : { certificate: undefined }),
      native,
      ...(native === 'off' ? { connections: 'auto' } : {}),
      derp: { host: host.ourAddress, port: 0 },
      admin: { host: '127.0.0.1', port: 0 },
      limits: { ...LIMITS, tcpUserTimeoutMs: 2_000 },
    })
    const script = join(import.meta.dirname, '..', 'support', 'far-client.ts')
    const tls = certificate ? 'tls' : 'plain'
    const far = spawn(
      'ip',
      [...host.prefix, process.execPath, script, host.ourAddress, `${relay.port}`, tls],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    const [line] = (await once(createInterface({ input: far.stdout }), 'line')) as [string]
    const farKey = Buffer.from(line, 'hex')
    const near = await relay.client({ host: host.ourAddress })
    const hello = near.next('packet')
    near.send(farKey, Buffer.from('say something'))
    await hello

    const gone = near.next('peerGone')
    await host.unplug()
    // Something must be unacknowledged: without a packet to the client nothing shows that it is gone.
    near.send(farKey, Buffer.from('are you there?'))
    expect(Buffer.from((await gone).key)).toEqual(farKey)
    const metrics = await (await fetch(`http://127.0.0.1:${relay.addresses.admin?.port}/metrics`)).text()
    expect(metrics).toContain('derp_sessions_ended_total{reason="unacknowledged"} 1\n')
    expect(metrics).toContain(`derp_native_info{use="tcp_user_timeout",way="${way}"} 1\n`)
    far.kill('SIGKILL')
  },
)
