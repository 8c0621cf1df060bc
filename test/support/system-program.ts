// Programs that the tests take from the distribution's packages: found on the PATH, installed by apt-get. foreign.ts says
// when.

import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { runOk } from './process.ts'

/** Downloads of a hundred megabytes, and the wait for another package run. */
const installTimeoutMs = 20 * 60_000

interface SystemProgram {
  /** What it may be called on the PATH. */
  readonly names: readonly string[]
  /** The Debian packages that it needs. */
  readonly packages: readonly string[]
}

export const systemPrograms = {
  chromium: {
    names: ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'],
    packages: ['chromium'],
  },
  'wireguard-tools': { names: ['wg'], packages: ['wireguard-tools'] },
  openvpn: { names: ['openvpn'], packages: ['openvpn'] },
  // Its daemon is started by path. Other packages bring `ipsec` without this.
  strongswan: {
    names: ['swanctl'],
    packages: [
      'strongswan',
      'strongswan-swanctl',
      'charon-systemd',
      'libcharon-extra-plugins',
      'libstrongswan-standard-plugins',
    ],
  },
  // runc, because crun wants control groups of one version.
  podman: { names: ['podman'], packages: ['podman', 'runc'] },
} as const satisfies Record<string, SystemProgram>

/** The path of an installed program, or undefined. */
export async function findSystemProgram({ names }: SystemProgram): Promise<string | undefined> {
  for (const name of names) {
    const path = await findOnPath(name)
    if (path !== undefined) return path
  }
  return undefined
}

/**
 * Installs a program from the distribution's packages.
 *
 * @throws Error if this is not a Debian-like system or not root, or if the installation fails.
 */
export async function installSystemProgram({ packages }: SystemProgram): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('not installed, and only root can install it')
  if ((await findOnPath('apt-get')) === undefined) throw new Error('not installed, and apt-get is missing')
  const options = { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: installTimeoutMs }
  // Waits for another package run on the same machine instead of failing on its lock.
  const waiting = ['-q', '-o', 'DPkg::Lock::Timeout=300']
  await runOk('apt-get', [...waiting, 'update'], options)
  await runOk('apt-get', [...waiting, 'install', '-y', '--no-install-recommends', ...packages], options)
}

export async function findOnPath(name: string): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name)
    try {
      await access(path, constants.X_OK)
      return path
    } catch {
      // Not in this folder.
    }
  }
  return undefined
}
