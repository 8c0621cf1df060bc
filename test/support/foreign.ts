// Finds the foreign programs that the integration tests and the benchmarks use: Tailscale's client, derper, Headscale,
// NATS, a browser, containers. The project does not ship them. Each is built once per machine into a cache outside the repository,
// one build at a time across all processes, and appears in the cache only when it is complete. Tests do not build: that
// takes minutes and has commands of its own (npm run foreign; npm run foreign:deploy for the tests of deployments).

import { type ChildProcess, spawn } from 'node:child_process'
import { access, constants, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { once } from 'node:events'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { deployRecipes } from './deploy-build.ts'
import { type Recipe, recipes as commonRecipes } from './foreign-build.ts'
import { runOk, tail } from './process.ts'
import { findSystemProgram, installSystemProgram, systemPrograms } from './system-program.ts'

/** What only deployments are tested with. */
const deployNames: readonly ForeignName[] = [
  ...(Object.keys(deployRecipes) as (keyof typeof deployRecipes)[]),
  'podman',
]

const recipes = { ...commonRecipes, ...deployRecipes } as const satisfies Record<string, Recipe>

type RecipeName = keyof typeof recipes

export type ForeignName = RecipeName | keyof typeof systemPrograms

export type Foreign = { readonly path: string } | { readonly missing: string }

/** The paths of several programs by name, or the reason why one of them is missing. */
export type ForeignPrograms<Name extends ForeignName> =
  | { readonly paths: Readonly<Record<Name, string>> }
  | { readonly missing: string }

/** Prefix of the folders of builds in progress. */
const unfinished = '.building-'

/** Finds a foreign program that was built or installed before. */
export async function foreign(name: ForeignName): Promise<Foreign> {
  const path = await lookUp(name)
  const command = deployNames.includes(name) ? 'npm run foreign:deploy' : 'npm run foreign'
  return path === undefined ? { missing: `not on this machine; \`${command}\` builds it` } : { path }
}

/** Finds a foreign program; builds or installs it if it is missing, which takes minutes. */
async function foundOrBuilt(name: ForeignName): Promise<Foreign> {
  const found = await foreign(name)
  if ('path' in found) return found
  try {
    return { path: await withLock(async () => (await lookUp(name)) ?? make(name)) }
  } catch (error) {
    return { missing: tail(error instanceof Error ? error.message : String(error), 12) }
  }
}

/**
 * Finds several programs for one test file. Names a missing one on standard error, so that a skipped test is never silent.
 */
export async function foreignPrograms<Name extends ForeignName>(
  ...names: readonly Name[]
): Promise<ForeignPrograms<Name>> {
  const paths: Partial<Record<Name, string>> = {}
  for (const name of names) {
    const found = await foreign(name)
    if ('missing' in found) {
      process.stderr.write(`SKIPPING tests that need ${name}: ${found.missing}\n`)
      return { missing: `${name} is missing: ${found.missing}` }
    }
    paths[name] = found.path
  }
  return { paths: paths as Record<Name, string> }
}

/** The folder of the built programs; DERPFLEET_CACHE sets another one. */
function cacheFolder(): string {
  return process.env.DERPFLEET_CACHE ?? join(homedir(), '.cache', 'derpfleet', 'bin')
}

/** The version is part of the file name, so that a recipe with a new version does not find an old build. */
function cachedPath(name: RecipeName): string {
  const { version } = recipes[name]
  return join(cacheFolder(), name.endsWith(version) ? name : `${name}-${version}`)
}

async function lookUp(name: ForeignName): Promise<string | undefined> {
  if (isSystemProgram(name)) return findSystemProgram(systemPrograms[name])
  const path = cachedPath(name)
  return access(path, constants.X_OK).then(
    () => path,
    () => undefined,
  )
}

async function make(name: ForeignName): Promise<string> {
  if (!isSystemProgram(name)) return build(recipes[name], cachedPath(name))
  await installSystemProgram(systemPrograms[name])
  const path = await findSystemProgram(systemPrograms[name])
  if (path === undefined) throw new Error('installed, but not on the PATH')
  return path
}

/** Builds in a folder of its own on the cache's file system; a rename makes the result visible. */
async function build(recipe: Recipe, path: string): Promise<string> {
  const cache = cacheFolder()
  await clearUnfinished(cache)
  const folder = await mkdtemp(join(cache, unfinished))
  try {
    await rename(await recipe.build(folder), path)
    return path
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * Removes unfinished builds. The holder of the lock is the only builder, so these are left from builds that were
 * killed.
 */
async function clearUnfinished(cache: string): Promise<void> {
  for (const entry of await readdir(cache)) {
    if (entry.startsWith(unfinished)) await rm(join(cache, entry), { recursive: true, force: true })
  }
}

/**
 * Works under a kernel lock. A child process holds it until this process closes the child's standard input, so the lock ends
 * with this process in any case. Waiting for it has no limit, since every build has one.
 */
async function withLock<T>(work: () => Promise<T>): Promise<T> {
  await mkdir(cacheFolder(), { recursive: true })
  const holder = spawn('flock', [join(cacheFolder(), '.lock'), 'sh', '-c', 'echo held; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  await locked(holder)
  try {
    return await work()
  } finally {
    holder.stdin?.end()
    await once(holder, 'close')
  }
}

async function locked(holder: ChildProcess): Promise<void> {
  const failed = once(holder, 'exit').then(() => {
    throw new Error('cannot take the build lock with flock')
  })
  await Promise.race([once(holder.stdout ?? holder, 'data'), failed])
}

/** swanctl, for one, asks a daemon that may not run. */
async function versionOf(name: ForeignName, path: string): Promise<string> {
  if (!isSystemProgram(name)) return recipes[name].version
  return await runOk(path, ['--version']).then(
    (text) => text.trim(),
    () => 'of unknown version',
  )
}

/** Prints a line per program: name, version, whether it was found or built, time, path. */
async function report(names: readonly ForeignName[]): Promise<void> {
  for (const name of names) {
    const started = performance.now()
    const wasThere = (await lookUp(name)) !== undefined
    const found = await foundOrBuilt(name)
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    const line =
      'missing' in found
        ? `missing after ${seconds} s: ${found.missing.replaceAll('\n', ' | ')}`
        : `${await versionOf(name, found.path)}, ${wasThere ? 'found' : 'built'} in ${seconds} s, ${found.path}`
    process.stdout.write(`${name}: ${line}\n`)
  }
}

function isSystemProgram(name: ForeignName): name is keyof typeof systemPrograms {
  return name in systemPrograms
}

const allNames = [...Object.keys(recipes), ...Object.keys(systemPrograms)] as readonly ForeignName[]

/** `all` is what the ordinary suite uses. What only deployments are tested with takes an hour more. */
const groups: Readonly<Record<string, readonly ForeignName[]>> = {
  all: allNames.filter((name) => !deployNames.includes(name)),
  deploy: deployNames,
}

if (import.meta.main) {
  const wanted = process.argv.slice(2)
  const group = groups[wanted[0] ?? '']
  const names = group ?? allNames.filter((name) => wanted.includes(name))
  if (names.length === 0 || (group === undefined && names.length !== wanted.length)) {
    process.stderr.write(
      `usage: foreign.ts all | deploy | <name>…, where <name> is one of ${allNames.join(', ')}\n`,
    )
    process.exitCode = 2
  } else {
    await report(names)
  }
}
