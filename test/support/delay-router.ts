// A router between the hosts of a lab that delays IP packets, in both directions and each path by its own time: so TCP's
// own measurements, STUN and pings all see it. In user space, for kernels without netem: each host gets a TUN device
// through which it reaches the other hosts, and a thread (delay-router-thread.ts) carries the packets between the devices.
// The test's own process stays on the lab's switch, without delay. Delays, loss and blocks can be changed at any time.

import { once } from 'node:events'
import { closeSync, constants, existsSync, openSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { BLOCKED, PathMemory, type BlockedKind, type RouterThreadData } from './delay-paths.ts'
import { NETWORK_4, NETWORK_6, type Lab, type LabHost } from './lab.ts'
import { canMakeNetworks } from './network.ts'
import { runOk } from './process.ts'

const TUNSETIFF = 0x400454ca
const IFF_TUN = 0x0001
/** Packets without a header before them. */
const IFF_NO_PI = 0x1000
/** `struct ifreq`: the name, then the flags. */
const IFREQ_BYTES = 40
const IFREQ_FLAGS_AT = 16

/** The addresses of the lab's hosts (10 to 95), without those of the test's own process. */
const ROUTES = ['8/29', '16/28', '32/27', '64/27'].map((end) => `${NETWORK_4}${end}`)
const ROUTES_6 = ['10/124', '20/123', '40/122', '80/123'].map((end) => `${NETWORK_6}${end}`)

const TUN_PATH = '/dev/net/tun'

/** Whether this process may make such routers. Says on standard error what is missing, so that no test skips silently. */
export async function canDelayPackets(): Promise<boolean> {
  const problem = !(await canMakeNetworks())
    ? 'no right to make network namespaces'
    : existsSync(TUN_PATH)
      ? await import('koffi').then(
          () => undefined,
          () => 'koffi is not installed',
        )
      : `no ${TUN_PATH}`
  if (problem !== undefined) process.stderr.write(`SKIPPING tests that delay packets: ${problem}\n`)
  return problem === undefined
}

/** One direction between two hosts; a value that is left out stays as it is. */
export interface Path {
  readonly delayMs?: number
  /** Up to so much is added to the delay of each packet, evenly distributed. */
  readonly jitterMs?: number
  /** The part of the packets that are dropped at random, 0 to 1. */
  readonly loss?: number
  /** Packets of these kinds are dropped. */
  readonly blocked?: readonly BlockedKind[]
}

export class DelayRouter implements AsyncDisposable {
  readonly #lab: Lab
  readonly #paths: PathMemory
  readonly #descriptors: readonly number[]
  readonly #worker: Worker

  private constructor(lab: Lab, descriptors: readonly number[]) {
    const memory = PathMemory.memory(lab.hosts.length)
    const workerData: RouterThreadData = {
      descriptors,
      numbers: lab.hosts.map(({ number }) => number),
      memory,
    }
    this.#lab = lab
    this.#paths = new PathMemory(memory, lab.hosts.length)
    this.#descriptors = descriptors
    this.#worker = new Worker(new URL('delay-router-thread.ts', import.meta.url), { workerData })
  }

  /** Puts a router between all hosts of a lab; without delay until one is set. */
  static async make(lab: Lab): Promise<DelayRouter> {
    const descriptors: number[] = []
    for (const host of lab.hosts) descriptors.push(await addDevice(host))
    const router = new DelayRouter(lab, descriptors)
    await once(router.#worker, 'online')
    return router
  }

  /** Sets one direction: packets from one host to another. */
  setPath(from: LabHost, to: LabHost, { delayMs, jitterMs, loss, blocked }: Path): void {
    const at = this.#at(from, to)
    if (delayMs !== undefined) this.#paths.delayMs[at] = delayMs
    if (jitterMs !== undefined) this.#paths.jitterMs[at] = jitterMs
    if (loss !== undefined) this.#paths.loss[at] = loss
    if (blocked !== undefined) {
      this.#paths.blocked[at] = blocked.reduce((sum, kind) => sum | BLOCKED[kind], 0)
    }
  }

  /** Sets both directions alike; the delay is the round trip, of which each direction takes half. */
  setRoundTrip(one: LabHost, other: LabHost, roundTripMs: number, more: Omit<Path, 'delayMs'> = {}): void {
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      this.setPath(from, to, { ...more, delayMs: roundTripMs / 2 })
    }
  }

  /** The packets in one direction since the start. */
  count(from: LabHost, to: LabHost): { readonly carried: number; readonly dropped: number } {
    const at = this.#at(from, to)
    return { carried: this.#paths.carried[at] ?? 0, dropped: this.#paths.dropped[at] ?? 0 }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const isOver = once(this.#worker, 'exit')
    this.#paths.stop()
    await isOver
    // A device ends with its descriptor, and its routes with the device.
    for (const descriptor of this.#descriptors) closeSync(descriptor)
  }

  #at(from: LabHost, to: LabHost): number {
    const { hosts } = this.#lab
    return hosts.indexOf(from) * hosts.length + hosts.indexOf(to)
  }
}

/** Gives a host a TUN device and routes the other hosts through it. Returns the device's descriptor. */
async function addDevice(host: LabHost): Promise<number> {
  const name = `t${host.number}p${process.pid}`
  const descriptor = await openTun(name)
  await runOk('ip', ['link', 'set', name, 'netns', host.namespace])
  const ip = async (...args: readonly string[]): Promise<unknown> =>
    await runOk('ip', ['-n', host.namespace, ...args])
  await ip('link', 'set', name, 'name', 'wan0', 'txqueuelen', '10000', 'up')
  for (const route of ROUTES) await ip('route', 'add', route, 'dev', 'wan0', 'src', host.address)
  for (const route of ROUTES_6) await ip('-6', 'route', 'add', route, 'dev', 'wan0', 'src', host.address6)
  return descriptor
}

async function openTun(name: string): Promise<number> {
  const { default: koffi } = await import('koffi')
  const ioctl = koffi.load(null).func('int ioctl(int, unsigned long, ...)')
  const descriptor = openSync(TUN_PATH, constants.O_RDWR | constants.O_NONBLOCK)
  const request = Buffer.alloc(IFREQ_BYTES)
  request.write(name)
  request.writeUInt16LE(IFF_TUN | IFF_NO_PI, IFREQ_FLAGS_AT)
  if (ioctl(descriptor, TUNSETIFF, 'void *', request) < 0) {
    throw new Error(`TUNSETIFF: error ${koffi.errno()}`)
  }
  return descriptor
}
