// Relays of one program that form a mesh on this machine, each with a key of its own; and two of them as one target of
// loads: senders on one relay, receivers on the other, so that every packet crosses a link between relays.

import { freePort } from '../test/support/process.ts'
import type { Bench } from './bench.ts'
import type { Server, StartOptions, LoadTarget } from './server.ts'

/** Starts `count` relays of a mesh. The caller stops them. */
export async function startMesh(
  bench: Bench,
  name: string,
  count: number,
  options: Partial<StartOptions> = {},
): Promise<Server[]> {
  const ports: number[] = []
  for (let i = 0; i < count; i++) ports.push(await freePort())
  const servers: Server[] = []
  try {
    for (const [i, port] of ports.entries()) {
      const mesh = {
        port,
        keyName: `mesh-key-${i}`,
        siblingPorts: ports.filter((other) => other !== port),
      }
      servers.push(await bench.start(name, { ...options, mesh }))
    }
  } catch (error) {
    for (const server of servers) await server.stop()
    throw error
  }
  return servers
}

/** Two relays of a mesh: senders connect to `near`, receivers to `far`. */
export class TwoRelays implements LoadTarget {
  readonly name: string
  readonly near: Server
  readonly far: Server

  constructor(near: Server, far: Server) {
    this.name = near.name
    this.near = near
    this.far = far
  }

  get pids(): readonly number[] {
    return [this.near.pid, this.far.pid]
  }

  async arguments(logins: number): Promise<string[]> {
    const { host, port } = this.far.address
    const path = await this.far.workFolder.logins(this.far.address, logins)
    const far = ['--far', `${host}:${port}`, '--far-logins', path, '--far-pid', `${this.far.pid}`]
    return [...(await this.near.arguments(logins)), ...far]
  }
}
