// What settings depend on besides options: the machine, the user and the time. Collected once, so that resolving is a
// function of its arguments.

import { homedir, totalmem } from 'node:os'
import { isAbsolute, join } from 'node:path'
import type { Environment } from './environment.ts'
import { usableCoreCount } from './core-count.ts'
import { publicAddresses } from './public-addresses.ts'

export interface HostInfo {
  readonly nowMs: number
  readonly isRoot: boolean
  readonly homeFolder: string
  /** For files that can be created again. */
  readonly cacheFolder: string
  readonly tailscaledSocket: string
  readonly coreCount: number
  /** The memory that this process may use: its control group's limit, or the machine's memory. */
  readonly memoryBytes: number
  /** derper's places for the mesh key, if no option names it. */
  readonly meshKeyPaths: readonly string[]
  readonly rootKeyPath: string
  /** Of this host's interfaces. */
  readonly publicAddresses: readonly string[]
}

export function hostInfo(env: Environment): HostInfo {
  const homeFolder = env.HOME ?? homedir()
  return {
    nowMs: Date.now(),
    isRoot: process.getuid?.() === 0,
    homeFolder,
    cacheFolder: cacheFolder(env, homeFolder),
    tailscaledSocket:
      process.platform === 'darwin' ? '/var/run/tailscaled.socket' : '/var/run/tailscale/tailscaled.sock',
    coreCount: usableCoreCount(),
    // Without a limit, Node returns zero or more than the machine has.
    memoryBytes: Math.min(totalmem(), process.constrainedMemory() || Infinity),
    meshKeyPaths: ['/home/derp/keys/derp-mesh.key', join(homeFolder, 'keys', 'derp-mesh.key')],
    rootKeyPath: '/var/lib/derper/derper.key',
    publicAddresses: publicAddresses(),
  }
}

/** As Go finds it: derper keeps its certificates there. */
function cacheFolder(env: Environment, homeFolder: string): string {
  if (process.platform === 'darwin') return join(homeFolder, 'Library', 'Caches')
  const named = env.XDG_CACHE_HOME ?? ''
  return isAbsolute(named) ? named : join(homeFolder, '.cache')
}
