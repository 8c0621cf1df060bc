// What settings depend on besides the operator's words: the machine, the user and the time. Gathered once, so that
// resolving is a function of what it is given.

import { homedir, totalmem } from 'node:os'
import { isAbsolute, join } from 'node:path'
import type { Environment } from './environment.ts'
import { usableCoreCount } from './core-count.ts'

export interface HostInfo {
  readonly nowMs: number
  readonly isRoot: boolean
  readonly homeFolder: string
  /** Where the user's programs keep what can be had again. */
  readonly cacheFolder: string
  readonly tailscaledSocket: string
  readonly coreCount: number
  /** What this process may have: its control group's, or the machine's. */
  readonly memoryBytes: number
  /** Where derper's mesh key is looked for when no option names it. */
  readonly meshKeyPaths: readonly string[]
  readonly rootKeyPath: string
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
    // Zero, or more than there is, where nothing limits it.
    memoryBytes: Math.min(totalmem(), process.constrainedMemory() || Infinity),
    meshKeyPaths: ['/home/derp/keys/derp-mesh.key', join(homeFolder, 'keys', 'derp-mesh.key')],
    rootKeyPath: '/var/lib/derper/derper.key',
  }
}

/** As Go finds it, because derper keeps its certificates there. */
function cacheFolder(env: Environment, homeFolder: string): string {
  if (process.platform === 'darwin') return join(homeFolder, 'Library', 'Caches')
  const named = env.XDG_CACHE_HOME ?? ''
  return isAbsolute(named) ? named : join(homeFolder, '.cache')
}
