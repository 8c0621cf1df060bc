// Programs that loads are made with, each compiled once per state of its sources into a cache outside the repository. Knows
// no compiler: build-generator.ts and build-go-logins.ts do.

import { createHash } from 'node:crypto'
import { access, constants, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

interface Sources {
  readonly folder: string
  /** Names of the files that the program is made of. */
  readonly files: RegExp
  /** What else the program depends on: the compiler's options, the processor. */
  readonly key: string
}

/** The path of the compiled program of that name. `compile` gets the sources' paths, and the path to write to. */
export async function compiledOnce(
  program: string,
  { folder, files, key }: Sources,
  compile: (sources: readonly string[], made: string) => Promise<void>,
): Promise<string> {
  const names = (await readdir(folder)).filter((name) => files.test(name)).sort()
  const hash = createHash('sha256').update(key)
  for (const name of names) hash.update(`\0${name}\0`).update(await readFile(join(folder, name)))
  const cache = join(homedir(), '.cache', 'derpfleet', 'bench', hash.digest('hex').slice(0, 16))
  const path = join(cache, program)
  const isThere = await access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
  if (isThere) return path
  await mkdir(cache, { recursive: true })
  // In a folder of its own first, so that a run at the same time never starts an incomplete program.
  const building = await mkdtemp(join(cache, '.building-'))
  try {
    const made = join(building, program)
    await compile(
      names.map((name) => join(folder, name)),
      made,
    )
    await rename(made, path)
    return path
  } finally {
    await rm(building, { recursive: true, force: true })
  }
}
