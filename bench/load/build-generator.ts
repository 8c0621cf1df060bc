// Compiles the load generator, once per state of its sources and per processor, into a cache outside the repository.
// The generator is written in C: it offers and checks hundreds of thousands of packets per second on one core while the
// server has the other, so it has to be cheaper per packet than any server.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, constants, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises'
import { cpus, homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The code is optimised for this machine's processor; so the processor's name is part of the cache key. */
const FLAGS = [
  '-std=gnu11',
  '-D_GNU_SOURCE',
  '-O3',
  '-march=native',
  '-Wall',
  '-Wextra',
  '-Wshadow',
  '-Werror',
]
const LIBRARIES = ['-lssl', '-lcrypto']
const PACKAGES = 'gcc, libc6-dev and libssl-dev (OpenSSL 3)'

/** The path of the compiled generator. @throws Error that names the Debian packages if it cannot be compiled */
export async function generatorPath(): Promise<string> {
  const folder = fileURLToPath(new URL('generator/', import.meta.url))
  const names = (await readdir(folder)).filter((name) => /\.[ch]$/.test(name)).sort()
  const hash = createHash('sha256').update(`${FLAGS.join(' ')}\0${cpus()[0]?.model ?? ''}`)
  for (const name of names) hash.update(`\0${name}\0`).update(await readFile(join(folder, name)))
  const cache = join(homedir(), '.cache', 'derpfleet', 'bench', hash.digest('hex').slice(0, 16))
  const path = join(cache, 'generator')
  const isThere = await access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
  const sources = names.filter((name) => name.endsWith('.c')).map((name) => join(folder, name))
  if (!isThere) await compile(sources, cache, path)
  return path
}

/** Compiles into a folder of its own first, so that a run at the same time never starts an incomplete program. */
async function compile(sources: readonly string[], cache: string, path: string): Promise<void> {
  await mkdir(cache, { recursive: true })
  const building = await mkdtemp(join(cache, '.building-'))
  const made = join(building, 'generator')
  try {
    await run('cc', [...FLAGS, '-o', made, ...sources, ...LIBRARIES])
    await rename(made, path)
  } catch (error) {
    throw new Error(explain(error), { cause: error })
  } finally {
    await rm(building, { recursive: true, force: true })
  }
}

function explain(error: unknown): string {
  const { code, stderr = '' } = error as { code?: string | number; stderr?: string }
  if (code === 'ENOENT') return `the load generator needs a C compiler: install ${PACKAGES}`
  if (/fatal error: .*\.h|cannot find -l/.test(stderr)) {
    return `the load generator needs header files that are missing: install ${PACKAGES}`
  }
  return `the load generator does not compile:\n${stderr.trim()}`
}
