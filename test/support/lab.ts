// Hosts on one network: each is a network namespace with an IPv4 and an IPv6 address and a hosts file with the names of
// all. This process is on the network, too. A host can be unplugged. Needs root on Linux.

import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runOk, runProcess } from './process.ts'

/** Test files that run at the same time have networks of their own: this process is on each. */
const NUMBER = 7 + Number(process.env['VITEST_POOL_ID'] ?? 1)
/** From the address blocks for benchmarks (RFC 2544) and for documentation (RFC 3849). */
export const NETWORK_4 = `198.18.${NUMBER}.`
export const NETWORK_6 = `2001:db8:${NUMBER}::`
const FIRST_HOST = 10

export class LabHost {
  readonly name: string
  readonly address: string
  readonly address6: string
  readonly namespace: string
  /** The last part of its addresses. */
  readonly number: number

  constructor(name: string, namespace: string, number: number) {
    this.name = name
    this.number = number
    this.address = `${NETWORK_4}${number}`
    this.address6 = `${NETWORK_6}${number}`
    this.namespace = namespace
  }

  /** The command line that runs a program on this host. */
  command(command: string, ...args: readonly string[]): [string, string[]] {
    return ['ip', ['netns', 'exec', this.namespace, command, ...args]]
  }

  /** Drops all packets from and to this host; programs get no notice. */
  async unplug(): Promise<void> {
    await this.#run('ip', 'link', 'set', 'eth0', 'down')
  }

  async plug(): Promise<void> {
    await this.#run('ip', 'link', 'set', 'eth0', 'up')
    // An interface that goes down loses its IPv6 address.
    await this.#run('ip', '-6', 'addr', 'add', `${this.address6}/64`, 'dev', 'eth0', 'nodad')
  }

  /** Replaces the hosts file of this host; each line is `address name`. */
  async setHosts(lines: readonly string[]): Promise<void> {
    const all = ['127.0.0.1 localhost', ...lines].map((line) => `${line}\n`)
    await writeFile(join('/etc/netns', this.namespace, 'hosts'), all.join(''))
  }

  async #run(command: string, ...args: readonly string[]): Promise<void> {
    await runOk(...this.command(command, ...args))
  }
}

export class Lab implements AsyncDisposable {
  readonly hosts: readonly LabHost[]
  readonly #prefix: string

  private constructor(prefix: string, hosts: readonly LabHost[]) {
    this.#prefix = prefix
    this.hosts = hosts
  }

  /** @param names names of the hosts, such as derp1.lab */
  static async make(...names: readonly string[]): Promise<Lab> {
    await Lab.#removeOrphans()
    const prefix = `dl${process.pid}`
    const hosts = names.map((name, i) => new LabHost(name, `${prefix}-${i}`, FIRST_HOST + i))
    const lab = new Lab(prefix, hosts)
    await lab.#makeSwitch()
    for (const [i, host] of hosts.entries()) await lab.#addHost(`${prefix}-${i}`, i, host)
    return lab
  }

  host(name: string): LabHost {
    const host = this.hosts.find((one) => one.name === name)
    if (host === undefined) throw new Error(`no host ${name}`)
    return host
  }

  /** Adds an address of this process on the network; numbers from 101 on. Its first address ends in .1. */
  async addAddress(number: number): Promise<string> {
    const address = `${NETWORK_4}${number}`
    await runOk('ip', ['addr', 'add', `${address}/24`, 'dev', `${this.#prefix}r`])
    return address
  }

  /** The address of this process on the network. */
  readonly ownAddress = `${NETWORK_4}1`

  async [Symbol.asyncDispose](): Promise<void> {
    await runProcess('ip', ['link', 'del', `${this.#prefix}r`])
    for (const i of ['s', ...this.hosts.keys()]) {
      await runProcess('ip', ['netns', 'del', `${this.#prefix}-${i}`])
      await rm(`/etc/netns/${this.#prefix}-${i}`, { recursive: true, force: true })
    }
  }

  /** Removes labs of processes that were killed: with their addresses still in use, this lab could not be reached. */
  static async #removeOrphans(): Promise<void> {
    const { stdout } = await runProcess('ip', ['netns', 'list'])
    for (const [name, pid] of stdout.matchAll(/^dl(\d+)-\w+/gm)) {
      if (existsSync(`/proc/${pid}`)) continue
      await runProcess('ip', ['netns', 'del', name])
      await rm(`/etc/netns/${name}`, { recursive: true, force: true })
      await runProcess('ip', ['link', 'del', `dl${pid}r`])
    }
  }

  async #makeSwitch(): Promise<void> {
    const inSwitch = `${this.#prefix}-s`
    const ours = `${this.#prefix}r`
    await runOk('ip', ['netns', 'add', inSwitch])
    await runOk('ip', ['-n', inSwitch, 'link', 'add', 'br0', 'type', 'bridge'])
    await runOk('ip', ['-n', inSwitch, 'link', 'set', 'br0', 'up'])
    await runOk('ip', ['link', 'add', ours, 'type', 'veth', 'peer', 'name', 'root', 'netns', inSwitch])
    await runOk('ip', ['-n', inSwitch, 'link', 'set', 'root', 'master', 'br0', 'up'])
    await runOk('ip', ['addr', 'add', `${NETWORK_4}1/24`, 'dev', ours])
    await runOk('ip', ['-6', 'addr', 'add', `${NETWORK_6}1/64`, 'dev', ours, 'nodad'])
    await runOk('ip', ['link', 'set', ours, 'up'])
  }

  async #addHost(namespace: string, i: number, host: LabHost): Promise<void> {
    const inSwitch = `${this.#prefix}-s`
    await runOk('ip', ['netns', 'add', namespace])
    await mkdir(`/etc/netns/${namespace}`, { recursive: true })
    await host.setHosts(this.hosts.map(({ name, address }) => `${address} ${name}`))
    const peer = ['type', 'veth', 'peer', 'name', `h${i}`, 'netns', inSwitch]
    await runOk('ip', ['-n', namespace, 'link', 'add', 'eth0', ...peer])
    await runOk('ip', ['-n', inSwitch, 'link', 'set', `h${i}`, 'master', 'br0', 'up'])
    await runOk('ip', ['-n', namespace, 'addr', 'add', `${host.address}/24`, 'dev', 'eth0'])
    await runOk('ip', ['-n', namespace, '-6', 'addr', 'add', `${host.address6}/64`, 'dev', 'eth0', 'nodad'])
    await runOk('ip', ['-n', namespace, 'link', 'set', 'lo', 'up'])
    await runOk('ip', ['-n', namespace, 'link', 'set', 'eth0', 'up'])
  }
}
