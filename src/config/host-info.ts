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
  /** For the state of relays, each in a folder of its own. */
  readonly stateFolder: string
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

/** In a container the user may be a number that no file knows; its home is then the root, as container engines have it. */
function userHome(): string {
  try {
    return homedir()
  } catch {
    return '/'
  }
}

export function hostInfo(env: Environment): HostInfo {
  const homeFolder = env.HOME ?? userHome()
  const isRoot = process.getuid?.() === 0
  return {
    nowMs: Date.now(),
    isRoot,
    homeFolder,
    cacheFolder: cacheFolder(env, homeFolder),
    stateFolder: stateFolder(env, homeFolder, isRoot),
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

/** The place of a system service, which is also where its operator looks without that service's environment. */
export const SYSTEM_STATE_FOLDER = '/var/lib/derpfleet'

/** systemd names the folder of `StateDirectory=`; of several, the first. */
function stateFolder(env: Environment, homeFolder: string, isRoot: boolean): string {
  const named = env.STATE_DIRECTORY?.split(':')[0] ?? ''
  if (isAbsolute(named)) return named
  if (isRoot) return SYSTEM_STATE_FOLDER
  const ofUser = env.XDG_STATE_HOME ?? ''
  return join(isAbsolute(ofUser) ? ofUser : join(homeFolder, '.local', 'state'), 'derpfleet')
}
