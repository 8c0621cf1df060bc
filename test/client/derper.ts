// The real derper on loopback, with a certificate and a mesh key. A restart keeps key and port.

import { join } from 'node:path'
import { connect } from 'node:net'
import { freePort, startProcess, type RunningProcess } from '../support/process.ts'

/** One derper, with TLS or plain. */
export class Derper implements AsyncDisposable {
  readonly port: number
  readonly #args: readonly string[]
  readonly #path: string
  #process: RunningProcess | undefined

  private constructor(path: string, port: number, args: readonly string[]) {
    this.#path = path
    this.port = port
    this.#args = args
  }

  static async start(
    path: string,
    folder: string,
    name: 'plain' | 'tls',
    more: string[] = [],
  ): Promise<Derper> {
    const port = await freePort()
    const certs = name === 'plain' ? [] : ['-certmode', 'manual', '-certdir', folder]
    const mesh = ['-mesh-psk-file', join(folder, 'psk')]
    const listen = ['-a', `127.0.0.1:${port}`, '-hostname', 'localhost', '-http-port', '-1', '-stun=false']
    const args = ['-c', join(folder, `${name}.json`), ...listen, ...certs, ...mesh, ...more]
    const derper = new Derper(path, port, args)
    await derper.restart()
    return derper
  }

  async restart(): Promise<void> {
    await this.#process?.stop()
    this.#process = await startProcess(this.#path, this.#args, { readyWhen: () => listens(this.port) })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.stop()
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
