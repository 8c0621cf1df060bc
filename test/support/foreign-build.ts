// The recipes that build the foreign programs. They use only the package clients of this machine: Go's for the Go
// programs, npm for another Node. A recipe writes into a given folder and returns the path of the program.
// foreign.ts keeps the program and ensures that only one build runs at a time.

import { createHash } from 'node:crypto'
import { appendFile, chmod, copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runOk, runProcess } from './process.ts'
import { findOnPath } from './system-program.ts'

export type Recipe = {
  readonly version: string
  /** Builds the program in `folder` and returns its path. @throws Error with the end of the output */
  readonly build: (folder: string) => Promise<string>
}

/** A first build of the largest program takes 10 minutes on two quiet cores; one that takes four times as long waits for the network. */
const buildTimeoutMs = 40 * 60_000

/** The newest Tailscale of which the public module proxy serves all modules. */
const clientVersion = '1.102.5'
const derperVersion = '1.104.5'
const headscaleVersion = '0.29.1'
const natsVersion = '2.15.2'
const pebbleVersion = '2.10.1'
/** WireGuard in user space. Its module has no releases. */
const wireguardVersion = '0.0.0-20260522210424-ecfc5a8d5446'
/** A line of Node that the relay also runs on; the one that it comes with is in package.json. */
const nodeVersion = '24.21.0'
/** Of the package of that version for this machine's processor. */
const nodeIntegrity: Readonly<Record<string, string>> = {
  x64: 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
  arm64: 'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
}
/** golang.org/x/crypto, which has the ACME client of derper. */
const cryptoVersion = '0.54.0'

/**
 * The Go versions that the programs' go.mod require. The newer derper requires a later one, which is its own toolchain.
 */
export const goNeeded = { client: '1.26.6', headscale: '1.26.4', fetchesToolchains: '1.21.0' }
const derperToolchain = 'go1.27.3'

export const recipes = {
  'derper-1.104.5': { version: derperVersion, build: buildNewDerper },
  'derper-1.102.5': tailscaleRecipe('derper'),
  derpprobe: tailscaleRecipe('derpprobe'),
  stunc: tailscaleRecipe('stunc'),
  tailscale: tailscaleRecipe('tailscale'),
  tailscaled: tailscaleRecipe('tailscaled'),
  headscale: { version: headscaleVersion, build: buildHeadscale },
  'nats-server': moduleRecipe('nats-server', 'github.com/nats-io/nats-server/v2', natsVersion),
  wireguard: moduleRecipe('wireguard', 'golang.zx2c4.com/wireguard', wireguardVersion),
  pebble: pebbleRecipe('pebble'),
  'pebble-challtestsrv': pebbleRecipe('pebble-challtestsrv'),
  autocert: { version: cryptoVersion, build: buildAutocert },
  testcontrol: { version: clientVersion, build: buildTestControl },
  'node-24': { version: nodeVersion, build: fetchNode },
} as const satisfies Record<string, Recipe>

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

/** A program whose module replaces none of its dependencies. */
export function moduleRecipe(name: string, source: string, version: string): Recipe {
  return {
    version,
    build: async (folder) => {
      await needGo(goNeeded.fetchesToolchains)
      await go(['install', `${source}@v${version}`], { GOBIN: folder }, folder)
      return join(folder, name)
    },
  }
}

/** An ACME authority for tests, and the DNS server that it asks. */
function pebbleRecipe(name: string): Recipe {
  return moduleRecipe(name, `github.com/letsencrypt/pebble/v2/cmd/${name}`, pebbleVersion)
}

/** npm's package is only the program of nodejs.org. */
async function fetchNode(folder: string): Promise<string> {
  const name = `node-linux-${process.arch}`
  const expected = nodeIntegrity[process.arch]
  if (process.platform !== 'linux' || expected === undefined) throw new Error(`there is no package ${name}`)
  const printed = await runOk('npm', ['pack', '--json', `${name}@${nodeVersion}`], { cwd: folder })
  const packed = join(folder, `${name}-${nodeVersion}.tgz`)
  const digest = createHash('sha512')
    .update(await readFile(packed))
    .digest('base64')
  if (`sha512-${digest}` !== expected) throw new Error(`${name} ${nodeVersion} is another one: ${printed}`)
  await runOk('tar', ['-xzf', packed, '-C', folder, 'package/bin/node'])
  return join(folder, 'package/bin/node')
}

/** A program of ours around derper's ACME client. */
async function buildAutocert(folder: string): Promise<string> {
  await needGo(goNeeded.fetchesToolchains)
  await copyFile(new URL('../integration/autocert/main.go', import.meta.url), join(folder, 'main.go'))
  await go(['mod', 'init', 'autocert'], {}, folder)
  await go(['get', `golang.org/x/crypto@v${cryptoVersion}`], {}, folder)
  await go(['mod', 'tidy'], {}, folder)
  const made = join(folder, 'program')
  await go(['build', '-o', made, '.'], {}, folder)
  return made
}

/** A program of ours around the control server of Tailscale's own tests. */
async function buildTestControl(folder: string): Promise<string> {
  await needGo(goNeeded.client)
  await copyFile(new URL('../integration/testcontrol/main.go', import.meta.url), join(folder, 'main.go'))
  await go(['mod', 'init', 'testcontrol'], {}, folder)
  await go(['get', `tailscale.com/tstest/integration/testcontrol@v${clientVersion}`], {}, folder)
  const made = join(folder, 'program')
  await go(['build', '-mod=mod', '-o', made, '.'], {}, folder)
  return made
}

/**
 * `go install` refuses a module with replaced dependencies, and this module requires a commit of `setec` that the proxy does
 * not serve. So it is built in its own folder, with a go.mod that requires the commit of the previous version.
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

/** The proxy serves this module, but not the list of its versions, which `go install` needs. */
async function buildHeadscale(folder: string): Promise<string> {
  await needGo(goNeeded.headscale)
  const module = await downloadModule(`github.com/juanfont/headscale@v${headscaleVersion}`, {}, folder)
  const modFile = await copyGoMod(module, folder)
  return buildInModule({ module, modFile, packagePath: './cmd/headscale', env: {}, folder })
}

export async function buildInModule(options: {
  readonly module: string
  readonly modFile: string
  readonly packagePath: string
  readonly flags?: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly folder: string
}): Promise<string> {
  const { module, modFile, packagePath, flags = [], env, folder } = options
  const made = join(folder, 'program')
  await go(['build', `-modfile=${modFile}`, ...flags, '-o', made, packagePath], env, module)
  return made
}

/** Copies a module's go.mod and go.sum to a folder where they can be changed: the module cache is read-only. */
export async function copyGoMod(module: string, folder: string): Promise<string> {
  const modFile = join(folder, 'changed.mod')
  const sumFile = join(folder, 'changed.sum')
  await copyFile(join(module, 'go.mod'), modFile)
  await copyFile(join(module, 'go.sum'), sumFile)
  await chmod(modFile, 0o644)
  await chmod(sumFile, 0o644)
  return modFile
}

export async function downloadModule(
  module: string,
  env: NodeJS.ProcessEnv,
  folder: string,
): Promise<string> {
  const response: unknown = JSON.parse(await go(['mod', 'download', '-json', module], env, folder))
  if (
    typeof response === 'object' &&
    response !== null &&
    'Dir' in response &&
    typeof response.Dir === 'string'
  ) {
    return response.Dir
  }
  throw new Error(`go mod download ${module} returned no folder`)
}

export async function go(args: readonly string[], env: NodeJS.ProcessEnv, cwd: string): Promise<string> {
  return runOk('go', args, { env: { GOWORK: 'off', ...env }, cwd, timeoutMs: buildTimeoutMs })
}

export async function needGo(needed: string): Promise<void> {
  if ((await findOnPath('go')) === undefined) throw new Error(`needs Go ${needed}, but go is not on the PATH`)
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
      throw new Error(`needs Go ${needed}, but the PATH has ${stdout.trim() || 'an unknown version'}`)
  }
}
