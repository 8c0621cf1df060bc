// Two Tailscale clients whose only path to each other is a relay that runs as a program of its own, with its certificate.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCertificate } from './certificate.ts'
import { startRelay, type Relay } from './process.ts'
import { startTailnet, type Tailnet } from './tailnet.ts'

export interface TailnetThroughRelay extends AsyncDisposable {
  /** Of the relay's certificate and key, localhost.crt and localhost.key. */
  readonly folder: string
  readonly relay: Relay
  readonly net: Tailnet
}

/** @param args before derper's flags */
export async function startTailnetThrough(
  command: string,
  args: readonly string[],
): Promise<TailnetThroughRelay> {
  const folder = await mkdtemp(join(tmpdir(), 'relay-'))
  let relay: Relay | undefined
  const end = async (): Promise<void> => {
    await relay?.[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const { sha256 } = await makeCertificate(folder, 'localhost')
    relay = await startRelay({ command, args, folder })
    const { port, stunPort } = relay
    const net = await startTailnet({ derp: { host: '127.0.0.1', port, stunPort, certSha256: sha256 } })
    const endAll = async (): Promise<void> => {
      await net[Symbol.asyncDispose]()
      await end()
    }
    return { folder, relay, net, [Symbol.asyncDispose]: endAll }
  } catch (error) {
    await end()
    throw error
  }
}
