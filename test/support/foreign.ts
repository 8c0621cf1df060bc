// Where the foreign programs are that the integration tests and the benchmarks run against: the real Tailscale
// client, the real derper, Headscale, a browser. The project ships none of them; each is built once per machine
// into a cache outside the repository, one build at a time across all processes, and is either there whole or
// not there at all. Tests only look: making them takes minutes and is asked for by name (npm run foreign, or
// node test/support/foreign.ts all).

import { type ChildProcess, spawn } from 'node:child_process'
import { access, constants, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { once } from 'node:events'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { findChromium, installChromium, type Recipe, recipes } from './foreign-build.ts'
import { runOk, tail } from './process.ts'

export type ForeignName = keyof typeof recipes | 'chromium'

export type Foreign = { readonly path: string } | { readonly missing: string }

/** All of several programs by name, or the reason why they are not all there. */
export type Foreigners<Name extends ForeignName> =
  | { readonly paths: Readonly<Record<Name, string>> }
  | { readonly missing: string }

/** Prefix of the folders in which builds are under way. */
const unfinished = '.building-'

/** Finds a foreign program where it was made or installed before. */
export async function foreign(name: ForeignName): Promise<Foreign> {
  const path = await lookUp(name)
  return path === undefined ? { missing: 'it is not on this machine; `npm run foreign` makes it' } : { path }
}

/** Finds a foreign program, building or installing it when it is not there. That takes minutes, once. */
async function foreignMade(name: ForeignName): Promise<Foreign> {
  const found = await foreign(name)
  if ('path' in found) return found
  try {
    return { path: await withLock(async () => (await lookUp(name)) ?? make(name)) }
  } catch (error) {
    return { missing: tail(error instanceof Error ? error.message : String(error), 12) }
  }
}

/**
 * Finds several programs for one test file. What is missing is said on standard error, once, so that a skipped
 * test is never a silent one.
 */
export async function foreigners<Name extends ForeignName>(
  ...names: readonly Name[]
): Promise<Foreigners<Name>> {
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

/** The folder that keeps the built programs; DERPFLEET_CACHE names another one. */
function cacheFolder(): string {
  return process.env.DERPFLEET_CACHE ?? join(homedir(), '.cache', 'derpfleet', 'bin')
}

/** The version is part of a kept file's name, so that a recipe that moves on is not answered with an old build. */
function cachedPath(name: keyof typeof recipes): string {
  const { version } = recipes[name]
  return join(cacheFolder(), name.endsWith(version) ? name : `${name}-${version}`)
}

async function lookUp(name: ForeignName): Promise<string | undefined> {
  if (name === 'chromium') return findChromium()
  const path = cachedPath(name)
  return access(path, constants.X_OK).then(
    () => path,
    () => undefined,
  )
}

async function make(name: ForeignName): Promise<string> {
  if (name !== 'chromium') return build(recipes[name], cachedPath(name))
  await installChromium()
  const path = await findChromium()
  if (path === undefined) throw new Error('installed, but not on the PATH')
  return path
}

/** Builds in a folder of its own on the cache's file system; the rename into place is the only visible step. */
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

/** Whoever holds the lock is the only builder, so what looks unfinished was left by one that was killed. */
async function clearUnfinished(cache: string): Promise<void> {
  for (const entry of await readdir(cache)) {
    if (entry.startsWith(unfinished)) await rm(join(cache, entry), { recursive: true, force: true })
  }
}

/**
 * The lock is the kernel's, held by a child that lives as long as this process keeps its standard input open: it
 * ends with its holder, however that ends. Waiting has no limit of its own, since every build has one.
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
    throw new Error('the build lock could not be taken with flock')
  })
  await Promise.race([once(holder.stdout ?? holder, 'data'), failed])
}

async function versionOf(name: ForeignName, path: string): Promise<string> {
  return name === 'chromium' ? (await runOk(path, ['--version'])).trim() : recipes[name].version
}

/** One line per program: name, version, how it came to be there and in what time, path. */
async function report(names: readonly ForeignName[]): Promise<void> {
  for (const name of names) {
    const started = performance.now()
    const wasThere = (await lookUp(name)) !== undefined
    const found = await foreignMade(name)
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    const line =
      'missing' in found
        ? `missing after ${seconds} s: ${found.missing.replaceAll('\n', ' | ')}`
        : `${await versionOf(name, found.path)}, ${wasThere ? 'there' : 'made'} in ${seconds} s, ${found.path}`
    process.stdout.write(`${name}: ${line}\n`)
  }
}

const allNames: readonly ForeignName[] = [...(Object.keys(recipes) as (keyof typeof recipes)[]), 'chromium']

if (import.meta.main) {
  const wanted = process.argv.slice(2)
  const names = wanted.includes('all') ? allNames : allNames.filter((name) => wanted.includes(name))
  if (names.length === 0 || (names !== allNames && names.length !== wanted.length)) {
    process.stderr.write(`usage: foreign.ts all | <name>…, where <name> is one of ${allNames.join(', ')}\n`)
    process.exitCode = 2
  } else {
    await report(names)
  }
}
