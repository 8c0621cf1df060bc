// Compiles the load generator, once per state of its sources and per processor, into a cache outside the repository.
// The generator is written in C: it offers and checks hundreds of thousands of packets per second on one core while the
// server has the other, so it has to be cheaper per packet than any server.

import { execFile } from 'node:child_process'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { compiledOnce } from './program-cache.ts'

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
  const key = `${FLAGS.join(' ')}\0${cpus()[0]?.model ?? ''}`
  return await compiledOnce('generator', { folder, files: /\.[ch]$/, key }, compile)
}

async function compile(sources: readonly string[], made: string): Promise<void> {
  const units = sources.filter((path) => path.endsWith('.c'))
  try {
    await run('cc', [...FLAGS, '-o', made, ...units, ...LIBRARIES])
  } catch (error) {
    throw new Error(explain(error), { cause: error })
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
