// A relay to measure, as a process of its own: this very program with one relay thread, on loopback alone, in a folder of its own that
// is removed with it. Its certificate is self-signed, so that TLS costs what it costs.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseEndpoint } from '#config/endpoint.ts'

/** Linux counts processor time in these. */
const TICKS_PER_SECOND = 100
const START_MS_MAX = 30_000

interface Started {
  readonly port: number
  readonly adminPort: number
}

export class CapacityRelay {
  readonly port: number
  readonly #adminPort: number
  readonly #process: ChildProcess
  readonly #folder: string

  private constructor(child: ChildProcess, folder: string, { port, adminPort }: Started) {
    this.#process = child
    this.#folder = folder
    this.port = port
    this.#adminPort = adminPort
  }

  /** @throws Error with the last line of its log if it does not start */
  static async start(): Promise<CapacityRelay> {
    const folder = mkdtempSync(join(tmpdir(), 'derpfleet-capacity-'))
    const listen = ['-a', '127.0.0.1:0', '-http-port', '-1', '-stun=false', '-admin', '127.0.0.1:0']
    const identity = [
      '-c',
      join(folder, 'key'),
      '-hostname',
      '127.0.0.1',
      '-certmode',
      'manual',
      '-certdir',
      folder,
    ]
    const more = ['-threads', '1', '-open-relay', '-log-format', 'json']
    const program = [...process.execArgv, process.argv[1] ?? '', 'serve']
    const child = spawn(process.execPath, [...program, ...listen, ...identity, ...more], {
      stdio: ['ignore', 'ignore', 'pipe'],
      // The settings of a relay on this machine are not this one's.
      env: {
        PATH: process.env['PATH'],
        MALLOC_ARENA_MAX: process.env['MALLOC_ARENA_MAX'],
        STATE_DIRECTORY: folder,
      },
    })
    process.once('exit', () => child.kill('SIGKILL'))
    try {
      return new CapacityRelay(child, folder, await started(child))
    } catch (error) {
      child.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** User and system time so far, of all threads. */
  get cpuSeconds(): number {
    const text = readFileSync(`/proc/${this.#process.pid}/stat`, 'latin1')
    // The name, in parentheses, may contain any character. Fields 14 and 15 are the times.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
  }

  get residentBytes(): number {
    const text = readFileSync(`/proc/${this.#process.pid}/status`, 'latin1')
    return 1_024 * Number(/^VmRSS:\s+(\d+)/m.exec(text)?.[1])
  }

  /** A value on its metrics page; undefined if there is none. */
  async metric(name: string): Promise<number | undefined> {
    const page = await (await fetch(`http://127.0.0.1:${this.#adminPort}/metrics`)).text()
    const value = new RegExp(`^${name} (\\S+)$`, 'm').exec(page)?.[1]
    return value === undefined ? undefined : Number(value)
  }

  async end(): Promise<void> {
    this.#process.kill('SIGKILL')
    if (this.#process.exitCode === null && this.#process.signalCode === null)
      await once(this.#process, 'exit')
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** Reads its log until it serves. */
async function started(child: ChildProcess): Promise<Started> {
  if (child.stderr === null) throw new Error('a relay without a log')
  const limit = setTimeout(() => child.kill('SIGKILL'), START_MS_MAX)
  const lines = createInterface({ input: child.stderr })
  try {
    let last = ''
    for await (const line of lines) {
      last = line
      if (!line.includes('"relay_started"')) continue
      const { derp, admin } = JSON.parse(line) as { derp?: string; admin?: string }
      const [port, adminPort] = [parseEndpoint(derp ?? '')?.port, parseEndpoint(admin ?? '')?.port]
      if (port !== undefined && adminPort !== undefined) return { port, adminPort }
    }
    throw new Error(`the relay to measure did not start: ${last}`)
  } finally {
    clearTimeout(limit)
    child.stderr.resume()
  }
}
