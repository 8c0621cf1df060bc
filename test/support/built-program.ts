// The program as npm publishes it, built from the sources of now, for tests to start. Vitest calls it before the tests.
// A build stays in node_modules/.cache, in a folder named after what it is made of, and is used again while that stays the
// same. Several runs at once are safe: a folder appears complete, and nothing in it changes but Node's own cache of compiled
// code. Types are not checked here; `npm run check` does that.

import { createHash } from 'node:crypto'
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { chmodSync, copyFileSync, renameSync, rmSync, statSync, symlinkSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { PROGRAM_VARIABLE } from './program-path.ts'
import { runOk } from './process.ts'

const ROOT = join(import.meta.dirname, '../..')
const BUILDS = join(ROOT, 'node_modules/.cache/derpfleet')
const MADE_OF = [
  'bin/*',
  'src/**/*.ts',
  'package.json',
  'package.dist.json',
  'tsconfig*.json',
  'test/support/built-program.ts',
]
/** No run of tests takes as long, so that nobody uses what nobody has begun to use in this time. */
const UNUSED_MS_MAX = 24 * 3600_000

export async function setup(): Promise<void> {
  const folder = join(BUILDS, contentHash())
  if (!existsSync(folder)) await build(folder)
  const now = new Date()
  utimesSync(folder, now, now)
  removeUnused()
  process.env[PROGRAM_VARIABLE] = join(folder, 'bin/derpfleet')
  // Every process would compile the same few hundred files anew.
  process.env['NODE_COMPILE_CACHE'] = join(folder, 'compiled')
}

/** Of everything that the build depends on, also of the compiler's version by way of package.json. */
function contentHash(): string {
  const hash = createHash('sha256')
  for (const path of globSync(MADE_OF, { cwd: ROOT }).sort()) {
    const content = readFileSync(join(ROOT, path))
    hash.update(`${path} ${content.length}\n`).update(content)
  }
  return hash.digest('hex').slice(0, 16)
}

async function build(folder: string): Promise<void> {
  mkdirSync(BUILDS, { recursive: true })
  const unfinished = mkdtempSync(join(BUILDS, 'unfinished-'))
  try {
    // Some tests run the program as another user.
    chmodSync(unfinished, 0o755)
    const tsc = join(ROOT, 'node_modules/.bin/tsc')
    const options = ['--noCheck', '--declaration', 'false', '--outDir', join(unfinished, 'dist')]
    await runOk(tsc, ['-p', join(ROOT, 'tsconfig.build.json'), ...options])
    copyFileSync(join(ROOT, 'package.dist.json'), join(unfinished, 'dist/package.json'))
    copyFileSync(join(ROOT, 'package.json'), join(unfinished, 'package.json'))
    cpSync(join(ROOT, 'bin'), join(unfinished, 'bin'), { recursive: true })
    // To node_modules itself. Relative, because worktrees may be made by copying that folder.
    symlinkSync('../../..', join(unfinished, 'node_modules'))
    renameSync(unfinished, folder)
  } catch (error) {
    // Another run may have been faster.
    if (!existsSync(folder)) throw error
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}

function removeUnused(): void {
  for (const name of readdirSync(BUILDS)) {
    const path = join(BUILDS, name)
    const usedAt = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()
    if (usedAt < Date.now() - UNUSED_MS_MAX) rmSync(path, { recursive: true, force: true })
  }
}
