// Two hosts behind routers of their own, and a host between them that is router and relay:
//
//   alice ── alice's router ── middle ── bob's router ── bob
//
// Each is a network namespace. Without forwarding in the middle, alice and bob reach the middle and not each other. The
// routers can translate addresses as real ones do. Needs root on Linux, and iptables for everything but plain routing.

import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  runOk,
  runProcess,
  startProcess,
  waitUntil,
  type RunningProcess,
  type StartOptions,
} from './process.ts'

/** The relay's address, which both hosts reach. */
export const MIDDLE = '198.18.0.1'
export const ADDRESS = { alice: '198.18.11.2', bob: '198.18.12.2' } as const

const SHORT = { alice: 'a', aliceRouter: 'na', middle: 'r', bobRouter: 'nb', bob: 'b' } as const
export type LabPlace = keyof typeof SHORT
export type LabEnd = 'alice' | 'bob'

/** Of each host, and its address towards the middle. */
const ROUTER = { alice: ['aliceRouter', '198.18.1.2'], bob: ['bobRouter', '198.18.2.2'] } as const

/** How a router treats its host's packets. */
export type Nat = 'none' | 'full' | 'restricted' | 'symmetric' | 'noudp'

export class VpnLab implements AsyncDisposable {
  readonly #prefix: string
  readonly #processes: RunningProcess[] = []
  #count = 0

  private constructor(prefix: string) {
    this.#prefix = prefix
  }

  static async make(): Promise<VpnLab> {
    await VpnLab.#removeOrphans()
    const lab = new VpnLab(`vl${process.pid}`)
    for (const place of Object.keys(SHORT) as LabPlace[]) await lab.#addPlace(place)
    await lab.#link(['alice', '198.18.11.2'], ['aliceRouter', '198.18.11.1'])
    await lab.#link(['aliceRouter', '198.18.1.2'], ['middle', '198.18.1.1'])
    await lab.#link(['middle', '198.18.2.1'], ['bobRouter', '198.18.2.2'])
    await lab.#link(['bobRouter', '198.18.12.1'], ['bob', '198.18.12.2'])
    await lab.run('middle', 'ip', 'addr', 'add', `${MIDDLE}/32`, 'dev', 'lo')
    await lab.run('alice', 'ip', 'route', 'add', 'default', 'via', '198.18.11.1')
    await lab.run('bob', 'ip', 'route', 'add', 'default', 'via', '198.18.12.1')
    await lab.run('aliceRouter', 'ip', 'route', 'add', 'default', 'via', '198.18.1.1')
    await lab.run('bobRouter', 'ip', 'route', 'add', 'default', 'via', '198.18.2.1')
    await lab.run('middle', 'ip', 'route', 'add', '198.18.11.0/24', 'via', '198.18.1.2')
    await lab.run('middle', 'ip', 'route', 'add', '198.18.12.0/24', 'via', '198.18.2.2')
    for (const router of ['aliceRouter', 'bobRouter'] as const) await lab.#forward(router, true)
    await lab.#forward('middle', false)
    return lab
  }

  /** With a direct route, alice and bob reach each other; UDP may be dropped in the middle all the same. */
  async setDirect(isDirect: boolean): Promise<void> {
    await this.#forward('middle', isDirect)
  }

  async dropUdp(isDropped: boolean): Promise<void> {
    await this.run('middle', 'iptables', isDropped ? '-I' : '-D', 'FORWARD', '-p', 'udp', '-j', 'DROP')
  }

  /** The way of a host's packets to the middle takes no more than this. */
  async limitUp(end: LabEnd, rate: string): Promise<void> {
    const [router, outside] = ROUTER[end]
    const shaped = ['root', 'tbf', 'rate', rate, 'burst', '32k', 'latency', '50ms']
    await this.run(router, 'tc', 'qdisc', 'add', 'dev', await this.#deviceOf(router, outside), ...shaped)
  }

  namespace(place: LabPlace): string {
    return `${this.#prefix}${SHORT[place]}`
  }

  /** The command line that runs a program at a place. */
  command(place: LabPlace, command: string, ...args: readonly string[]): [string, string[]] {
    return ['ip', ['netns', 'exec', this.namespace(place), command, ...args]]
  }

  async run(place: LabPlace, command: string, ...args: readonly string[]): Promise<string> {
    return await runOk(...this.command(place, command, ...args))
  }

  /** Starts a program that is stopped with the lab. */
  async start(
    place: LabPlace,
    options: StartOptions,
    command: string,
    ...args: readonly string[]
  ): Promise<RunningProcess> {
    const started = await startProcess(...this.command(place, command, ...args), options)
    this.#processes.push(started)
    return started
  }

  /** WireGuard in user space; its interface has a name that no other lab has. */
  async startWireguard(
    place: LabPlace,
    { program, privateKeyPath, listenPort, address }: WireguardOptions,
  ): Promise<{ name: string; daemon: RunningProcess }> {
    const name = `wg${process.pid % 100_000}x${this.#count++}`
    const daemon = await this.start(place, { env: { LOG_LEVEL: 'error' } }, program, '-f', name)
    await waitUntil(`${name} is there`, () => existsSync(`/var/run/wireguard/${name}.sock`))
    const port = listenPort === undefined ? [] : ['listen-port', `${listenPort}`]
    await this.run(place, 'wg', 'set', name, ...port, 'private-key', privateKeyPath)
    await this.run(place, 'ip', 'addr', 'add', `${address}/24`, 'dev', name)
    await this.run(place, 'ip', 'link', 'set', name, 'mtu', '1420', 'up')
    return { name, daemon }
  }

  /** The host's router forgets what it has translated: the next packet gets a port anew. Needs conntrack. */
  async forgetMappings(end: LabEnd): Promise<void> {
    await this.run(ROUTER[end][0], 'conntrack', '-F')
  }

  async setNat(end: LabEnd, nat: Nat): Promise<void> {
    const [router, outside] = ROUTER[end]
    const device = await this.#deviceOf(router, outside)
    const x = async (...args: readonly string[]): Promise<void> =>
      void (await this.run(router, 'iptables', ...args))
    const masquerade = ['-t', 'nat', '-A', 'POSTROUTING', '-o', device]
    const onlyKnown = ['-i', device, '-m', 'conntrack', '--ctstate', 'NEW', '-j', 'DROP']
    await x('-t', 'nat', '-F')
    await x('-F')
    await runProcess(...this.command(router, 'conntrack', '-F'))
    if (nat === 'none') return
    // Or a packet that comes too early occupies the port.
    await x('-A', 'INPUT', '-i', device, '-p', 'udp', '-m', 'conntrack', '--ctstate', 'NEW', '-j', 'DROP')
    if (nat === 'symmetric') await x(...masquerade, '-p', 'udp', '-j', 'MASQUERADE', '--random-fully')
    await x(...masquerade, '-j', 'MASQUERADE')
    if (nat === 'full') {
      await x('-t', 'nat', '-A', 'PREROUTING', '-i', device, '-p', 'udp', '-j', 'DNAT', '--to', ADDRESS[end])
      return
    }
    if (nat === 'noudp') await x('-A', 'FORWARD', '-p', 'udp', '-j', 'DROP')
    await x('-A', 'FORWARD', ...onlyKnown)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map(async (one) => await one.stop()))
    for (const place of Object.keys(SHORT) as LabPlace[]) {
      await runProcess('ip', ['netns', 'del', this.namespace(place)])
      await rm(join('/etc/netns', this.namespace(place)), { recursive: true, force: true })
    }
  }

  /** Removes labs of processes that were killed. */
  static async #removeOrphans(): Promise<void> {
    const { stdout } = await runProcess('ip', ['netns', 'list'])
    for (const [name, pid] of stdout.matchAll(/^vl(\d+)[a-z]+/gm)) {
      if (!existsSync(`/proc/${pid}`)) await runProcess('ip', ['netns', 'del', name])
    }
  }

  async #deviceOf(place: LabPlace, address: string): Promise<string> {
    const list = await this.run(place, 'ip', '-o', '-4', 'addr', 'show')
    const line = list.split('\n').find((one) => one.includes(` ${address}/`)) ?? ''
    return line.split(/\s+/)[1] ?? ''
  }

  async #addPlace(place: LabPlace): Promise<void> {
    const name = this.namespace(place)
    await runOk('ip', ['netns', 'add', name])
    await mkdir(join('/etc/netns', name), { recursive: true })
    await writeFile(join('/etc/netns', name, 'hosts'), `127.0.0.1 localhost\n${MIDDLE} relay.lab\n`)
    await runOk('ip', ['-n', name, 'link', 'set', 'lo', 'up'])
  }

  async #link(one: readonly [LabPlace, string], other: readonly [LabPlace, string]): Promise<void> {
    const names = [`v${this.#count++}`, `v${this.#count++}`] as const
    const peer = ['type', 'veth', 'peer', 'name', names[1], 'netns', this.namespace(other[0])]
    await runOk('ip', ['-n', this.namespace(one[0]), 'link', 'add', names[0], ...peer])
    for (const [name, [place, address]] of [[names[0], one] as const, [names[1], other] as const]) {
      await this.run(place, 'ip', 'addr', 'add', `${address}/24`, 'dev', name)
      await this.run(place, 'ip', 'link', 'set', name, 'up')
    }
  }

  async #forward(place: LabPlace, isOn: boolean): Promise<void> {
    await this.run(place, 'sysctl', '-qw', `net.ipv4.ip_forward=${isOn ? 1 : 0}`)
  }
}

export interface WireguardOptions {
  readonly program: string
  readonly privateKeyPath: string
  readonly listenPort: number | undefined
  /** In the tunnel, a /24. */
  readonly address: string
}
