// Runs `derpfleet probe` and parses its JSON; and provides what tests point it at besides real relays: listeners that
// answer as broken relays do, and proxies in front of relays.

import { once } from 'node:events'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import type { RunOptions } from '../support/process.ts'
import { derpfleet, derpfleetProcess } from '../cli/program.ts'
import { PROGRAM } from '../support/program-path.ts'

export interface CheckOutput {
  readonly name: string
  readonly family: number | null
  readonly status: 'ok' | 'fail' | 'skip'
  readonly ms: number | null
  readonly detail: string
  readonly hint: string | null
}

export interface NodeOutput {
  readonly name: string | null
  readonly region: { readonly id: number; readonly code: string } | null
  readonly host: string
  readonly port: number
  readonly ok: boolean
  readonly addresses: readonly string[]
  readonly serverKey: string | null
  readonly seenAs: { readonly ipv4: string | null; readonly ipv6: string | null }
  readonly certificate: Readonly<Record<string, unknown>> | null
  readonly checks: readonly CheckOutput[]
}

export interface ProbeOutput {
  readonly version: string
  readonly target: string
  readonly startedAt: string
  readonly seconds: number
  readonly ok: boolean
  readonly counts: Readonly<Record<CheckOutput['status'], number>>
  readonly map: CheckOutput | null
  readonly nodes: readonly NodeOutput[]
  readonly mesh: readonly {
    readonly regionId: number
    readonly from: string
    readonly to: string
    readonly status: string
    readonly ms: number | null
    readonly detail: string
    readonly hint: string | null
  }[]
}

/** The findings of a probe, by the check's name and family (`stun 4`). */
export class Probed {
  readonly code: number | null
  readonly report: ProbeOutput

  constructor(code: number | null, report: ProbeOutput) {
    this.code = code
    this.report = report
  }

  /** The names of all checks with this status, over all nodes. */
  named(status: CheckOutput['status']): readonly string[] {
    return this.#checks().flatMap((check) => (check.status === status ? [titleOf(check)] : []))
  }

  /** Detail and hint of a check. */
  textOf(title: string): string {
    const check = this.#checks().find((one) => titleOf(one) === title)
    return check === undefined ? 'no such check' : `${check.detail} ${check.hint ?? ''}`
  }

  #checks(): readonly CheckOutput[] {
    return this.report.nodes.flatMap(({ checks }) => checks)
  }
}

function titleOf({ name, family }: CheckOutput): string {
  return family === null ? name : `${name} ${family}`
}

/** Probes, and parses the JSON. */
export async function probed(args: readonly string[], options: RunOptions = {}): Promise<Probed> {
  const all = ['probe', ...args, '-json']
  // Variables that Node itself reads need a new process.
  const run = Object.keys(options).length === 0 ? derpfleet(all) : derpfleetProcess(all, options)
  const { code, stdout, stderr } = await run
  if (stderr !== '') throw new Error(stderr)
  return new Probed(code, JSON.parse(stdout) as ProbeOutput)
}

/** The flags of a derpfleet relay without an admin port, which would clash with another test's. */
export const OWN_RELAY = { command: PROGRAM, args: ['serve', '-admin', 'off'] }

/** All checks of a good relay on loopback that is probed over IPv4. */
export const ALL_CHECKS = [
  'addresses',
  'tcp 4',
  'stun 4',
  'tls',
  'certificate',
  'login 4',
  'meta-certificate',
  'fast-start',
  'ping',
  'packet',
  'full-packet',
  'websocket',
  'latency-check',
  'browser-probe',
  'generate-204',
]

/** The checks after the login. */
export const CHECKS_AFTER_LOGIN = ALL_CHECKS.slice(ALL_CHECKS.indexOf('login 4') + 1)

/** A listener of this process, by default on a free port of 127.0.0.1. */
export class Listener implements AsyncDisposable {
  readonly port: number
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server) {
    this.#server = server
    this.port = (server.address() as AddressInfo).port
    server.on('connection', (socket: Socket) => this.#sockets.add(socket))
  }

  static async start(server: Server, at = { host: '127.0.0.1', port: 0 }): Promise<Listener> {
    server.listen(at)
    await once(server, 'listening')
    return new Listener(server)
  }

  /** Serves HTTP. */
  static http(answer: RequestListener): Promise<Listener> {
    return Listener.start(createHttpServer(answer))
  }

  /** Terminates TLS with its own certificate and forwards everything to a plain port. */
  static tls(options: TlsOptions, port: number): Promise<Listener> {
    return Listener.start(createTlsServer(options, (socket) => forward(socket, port)))
  }

  /** Forwards connections to a port of 127.0.0.1. */
  static forwarding(port: number, at: { readonly host: string; readonly port: number }): Promise<Listener> {
    return Listener.start(
      createServer((socket) => forward(socket, port)),
      at,
    )
  }

  /** Forwards connections to several ports in turn, as a load balancer does. */
  static balancing(...ports: readonly number[]): Promise<Listener> {
    let turn = 0
    return Listener.start(createServer((socket) => forward(socket, ports[turn++ % ports.length] ?? 0)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

function forward(socket: Socket, port: number): void {
  const other = connect({ host: '127.0.0.1', port, noDelay: true })
  socket.setNoDelay(true)
  socket.on('error', () => other.destroy())
  other.on('error', () => socket.destroy())
  socket.on('close', () => other.destroy())
  other.on('close', () => socket.destroy())
  socket.pipe(other).pipe(socket)
}
