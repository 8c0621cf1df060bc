// Another version of the program: this one's sources in a folder of their own, with a few words changed.

import { cp, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../..')

export interface Change {
  /** Below the project's folder. */
  readonly file: string
  /** Stands once in the file. */
  readonly from: string
  readonly to: string
}

/** Returns the path of its program. @param folder is created */
export async function makeVersion(
  folder: string,
  version: string,
  changes: readonly Change[],
): Promise<string> {
  for (const part of ['bin', 'src', 'package.json'])
    await cp(join(ROOT, part), join(folder, part), { recursive: true })
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as object
  await writeFile(join(folder, 'package.json'), JSON.stringify({ ...manifest, version }))
  for (const { file, from, to } of changes) {
    const text = await readFile(join(folder, file), 'utf8')
    if (text.split(from).length !== 2) throw new Error(`${file} has not one "${from}"`)
    await writeFile(join(folder, file), text.replace(from, to))
  }
  return join(folder, 'bin/derpfleet')
}
