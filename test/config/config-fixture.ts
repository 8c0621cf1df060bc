// A host with a folder of files, for tests that resolve options into settings or problems.

import type { Environment } from '#config/environment.ts'
import type { HostInfo } from '#config/host-info.ts'
import type { NewFile } from '#config/new-files.ts'
import { problemText } from '#fleet/problem.ts'
import { readSettings, type Presets } from '#config/read-settings.ts'
import { resolveSettings } from '#config/resolve-settings.ts'
import type { Settings } from '#config/settings.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { keyPairFrom } from '#protocol/node-key.ts'
import { TemporaryFolder } from './temporary-folder.ts'

export const KEY_PAIR = keyPairFrom(new Uint8Array(32).fill(7))

export class ConfigFixture implements Disposable {
  readonly folder = new TemporaryFolder()
  /** A valid key file. */
  readonly keyPath = this.folder.write('derper.key', formatKeyFile(KEY_PAIR))
  readonly host: HostInfo = {
    nowMs: Date.now(),
    isRoot: false,
    homeFolder: this.folder.at('home'),
    cacheFolder: this.folder.at('cache'),
    stateFolder: this.folder.at('state'),
    tailscaledSocket: this.folder.at('tailscaled.sock'),
    coreCount: 2,
    memoryBytes: 1_073_741_824,
    meshKeyPaths: [this.folder.at('derp-mesh.key'), this.folder.at('home/keys/derp-mesh.key')],
    rootKeyPath: this.folder.at('var/lib/derper/derper.key'),
    publicAddresses: [],
  }

  /** The settings of valid options. */
  settings(args: readonly string[], env: Environment = {}, host: Partial<HostInfo> = {}): Settings {
    return this.plan(args, { env, host }).settings
  }

  /** The same with the files that a first start would create. */
  plan(
    args: readonly string[],
    more: { env?: Environment; host?: Partial<HostInfo>; presets?: Presets } = {},
  ): { settings: Settings; newFiles: readonly NewFile[] } {
    const raw = readSettings(args, more.env ?? {}, more.presets)
    const resolution = resolveSettings(raw, { ...this.host, ...more.host })
    if ('settings' in resolution) return resolution
    throw new Error(`problems: ${resolution.problems.map(problemText).join('\n')}`)
  }

  /** The problems; none for valid options. */
  problems(args: readonly string[], env: Environment = {}, host: Partial<HostInfo> = {}): string[] {
    const resolution = resolveSettings(readSettings(args, env), { ...this.host, ...host })
    return 'problems' in resolution ? resolution.problems.map(problemText) : []
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]()
  }
}
