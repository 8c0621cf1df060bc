// A relay under test as a separate program (derper or derpfleet) with the keys of the vectors: once with TLS and once
// without.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toHex } from '#protocol/bytes.ts'
import { meshKey, serverKeyFile } from '../vectors/keys.ts'
import { makeCertificate } from './certificate.ts'
import { freePort, type RunningProcess, startProcess } from './process.ts'

/** A relay program, and its arguments before derper's flags. */
export interface Program {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
}

/** Two processes of the same relay: one with TLS, one without. */
export interface RelayUnderTest extends AsyncDisposable {
  readonly name: string
  readonly tlsPort: number
  readonly plainPort: number
}

/** The host name in the relay's certificate. */
export const RELAY_HOST = 'localhost'

/** Starts a program as a relay under test. */
export async function startRelayUnderTest(program: Program): Promise<RelayUnderTest> {
  const folder = await mkdtemp(join(tmpdir(), 'dialogue-'))
  await makeCertificate(folder, RELAY_HOST)
  await writeFile(join(folder, 'key.json'), serverKeyFile)
  await writeFile(join(folder, 'psk'), toHex(meshKey))
  const running: RunningProcess[] = []
  const start = async (...more: string[]): Promise<number> => {
    const port = await freePort()
    const files = [
      '-c',
      join(folder, 'key.json'),
      '-mesh-psk-file',
      join(folder, 'psk'),
      '-hostname',
      RELAY_HOST,
    ]
    const listen = ['-a', `127.0.0.1:${port}`, '-http-port', '-1', '-stun=false', ...more]
    const args = [...program.args, ...files, ...listen]
    // With one state folder, a relay of ours takes a second process of the same key for its own next run.
    const env = { STATE_DIRECTORY: join(folder, `state-${port}`) }
    running.push(await startProcess(program.command, args, { env, readyWhen: () => isListening(port) }))
    return port
  }
  return {
    name: program.name,
    tlsPort: await start('-certmode', 'manual', '-certdir', folder),
    plainPort: await start(),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(running.map(async (one) => await one.stop()))
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
