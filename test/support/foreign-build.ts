// How each foreign program is made, with the package clients of this machine alone: Go's for the Go programs,
// the system's for the browser. Each recipe writes into a folder that it is given and answers the file it made;
// where that file is kept, and that only one build runs at a time, is foreign.ts's concern.

import { access, appendFile, chmod, constants, copyFile, readFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { runOk, runProcess } from './process.ts'

export type Recipe = {
  readonly version: string
  /** Makes the program inside `folder` and answers its path. Throws with the end of the output when it fails. */
  readonly build: (folder: string) => Promise<string>
}

/** A first build on two busy cores takes 4 minutes; one that needs five times as long is stuck on the network. */
const buildTimeoutMs = 20 * 60_000

/** The newest Tailscale whose whole module graph the public module proxy serves. */
const clientVersion = '1.102.5'
const derperVersion = '1.104.5'
const headscaleVersion = '0.29.1'
const natsVersion = '2.15.2'

/** What each program's go.mod asks for. The newer derper asks for more, and is given a toolchain of its own. */
const goNeeded = { client: '1.26.6', headscale: '1.26.4', fetchesToolchains: '1.21.0' }
const derperToolchain = 'go1.27.3'

export const recipes = {
  'derper-1.104.5': { version: derperVersion, build: buildNewDerper },
  'derper-1.102.5': tailscaleRecipe('derper'),
  derpprobe: tailscaleRecipe('derpprobe'),
  stunc: tailscaleRecipe('stunc'),
  tailscale: tailscaleRecipe('tailscale'),
  tailscaled: tailscaleRecipe('tailscaled'),
  headscale: { version: headscaleVersion, build: buildHeadscale },
  'nats-server': { version: natsVersion, build: buildNats },
} as const satisfies Record<string, Recipe>

const browserNames = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']

/** The path of an installed Chromium, if there is one. */
export async function findChromium(): Promise<string | undefined> {
  for (const name of browserNames) {
    const path = await findOnPath(name)
    if (path !== undefined) return path
  }
  return undefined
}

/**
 * Installs Chromium from the distribution's packages.
 *
 * @throws Error when this is not a Debian-like system or not root, or when the installation fails.
 */
export async function installChromium(): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('not installed, and only root can install it')
  if ((await findOnPath('apt-get')) === undefined) throw new Error('not installed, and there is no apt-get')
  const options = { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: buildTimeoutMs }
  // Another package run on the same machine is waited for instead of failing on its lock.
  const waiting = ['-q', '-o', 'DPkg::Lock::Timeout=300']
  await runOk('apt-get', [...waiting, 'update'], options)
  await runOk('apt-get', [...waiting, 'install', '-y', '--no-install-recommends', 'chromium'], options)
}

function tailscaleRecipe(name: string): Recipe {
  return {
    version: clientVersion,
    build: async (folder) => {
      await needGo(goNeeded.client)
      await go(['install', `tailscale.com/cmd/${name}@v${clientVersion}`], { GOBIN: folder }, folder)
      return join(folder, name)
    },
  }
}

async function buildNats(folder: string): Promise<string> {
  await needGo(goNeeded.fetchesToolchains)
  await go(['install', `github.com/nats-io/nats-server/v2@v${natsVersion}`], { GOBIN: folder }, folder)
  return join(folder, 'nats-server')
}

/**
 * `go install` refuses a module with replaced dependencies, and this one names a commit of `setec` that the proxy
 * does not serve. So it is built in its own folder, with a go.mod that asks for the commit its predecessor used.
 */
async function buildNewDerper(folder: string): Promise<string> {
  await needGo(goNeeded.fetchesToolchains)
  const env = { GOTOOLCHAIN: derperToolchain }
  const older = await downloadModule(`tailscale.com@v${clientVersion}`, env, folder)
  const newer = await downloadModule(`tailscale.com@v${derperVersion}`, env, folder)
  const modFile = await copyGoMod(newer, folder)
  const setec = 'github.com/tailscale/setec'
  const olderMod = await readFile(join(older, 'go.mod'), 'utf8')
  const [, setecVersion] = /github\.com\/tailscale\/setec (\S+)/.exec(olderMod) ?? []
  if (setecVersion === undefined) throw new Error(`tailscale.com v${clientVersion} does not require ${setec}`)
  const olderSum = await readFile(join(older, 'go.sum'), 'utf8')
  const setecSums = olderSum.split('\n').filter((line) => line.startsWith(`${setec} `))
  await appendFile(modFile.replace(/mod$/, 'sum'), `${setecSums.join('\n')}\n`)
  await go(['mod', 'edit', `-replace=${setec}=${setec}@${setecVersion}`, modFile], env, folder)
  return buildInModule({ module: newer, modFile, packagePath: './cmd/derper', env, folder })
}

/** The proxy serves this module but not the list of its versions, which `go install` wants to see. */
async function buildHeadscale(folder: string): Promise<string> {
  await needGo(goNeeded.headscale)
  const module = await downloadModule(`github.com/juanfont/headscale@v${headscaleVersion}`, {}, folder)
  const modFile = await copyGoMod(module, folder)
  return buildInModule({ module, modFile, packagePath: './cmd/headscale', env: {}, folder })
}

async function buildInModule(options: {
  readonly module: string
  readonly modFile: string
  readonly packagePath: string
  readonly env: NodeJS.ProcessEnv
  readonly folder: string
}): Promise<string> {
  const { module, modFile, packagePath, env, folder } = options
  const made = join(folder, 'program')
  await go(['build', `-modfile=${modFile}`, '-o', made, packagePath], env, module)
  return made
}

/** Copies a module's go.mod and go.sum to where they can be changed: the module cache is read-only. */
async function copyGoMod(module: string, folder: string): Promise<string> {
  const modFile = join(folder, 'changed.mod')
  const sumFile = join(folder, 'changed.sum')
  await copyFile(join(module, 'go.mod'), modFile)
  await copyFile(join(module, 'go.sum'), sumFile)
  await chmod(modFile, 0o644)
  await chmod(sumFile, 0o644)
  return modFile
}

async function downloadModule(module: string, env: NodeJS.ProcessEnv, folder: string): Promise<string> {
  const answer: unknown = JSON.parse(await go(['mod', 'download', '-json', module], env, folder))
  if (typeof answer === 'object' && answer !== null && 'Dir' in answer && typeof answer.Dir === 'string') {
    return answer.Dir
  }
  throw new Error(`go mod download ${module} named no folder`)
}

async function go(args: readonly string[], env: NodeJS.ProcessEnv, cwd: string): Promise<string> {
  return runOk('go', args, { env: { GOWORK: 'off', ...env }, cwd, timeoutMs: buildTimeoutMs })
}

async function needGo(needed: string): Promise<void> {
  if ((await findOnPath('go')) === undefined)
    throw new Error(`needs Go ${needed}, and there is no go on the PATH`)
  const { stdout } = await runProcess('go', ['env', 'GOVERSION'])
  const found =
    /^go(\d+)\.(\d+)(?:\.(\d+))?/
      .exec(stdout)
      ?.slice(1)
      .map((part) => Number(part ?? 0)) ?? []
  const wanted = needed.split('.').map(Number)
  for (const [at, part] of wanted.entries()) {
    const have = found[at] ?? 0
    if (have > part) return
    if (have < part)
      throw new Error(`needs Go ${needed}, and the PATH has ${stdout.trim() || 'an unknown one'}`)
  }
}

async function findOnPath(name: string): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name)
    try {
      await access(path, constants.X_OK)
      return path
    } catch {
      // Not in this folder: the next one.
    }
  }
  return undefined
}
