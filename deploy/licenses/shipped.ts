// The packages of others that come with the program, from package-lock.json: what npm installs without development
// dependencies on Linux with glibc, for both processors. Their licence files are read from node_modules.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

const ROOT = join(import.meta.dirname, '../..')
const PROCESSORS = ['x64', 'arm64']

const names = z.union([z.string(), z.array(z.string())]).optional()
const LockEntry = z.object({
  version: z.string().optional(),
  integrity: z.string().optional(),
  license: z.string().optional(),
  dev: z.boolean().optional(),
  os: names,
  cpu: names,
  libc: names,
  dependencies: z.record(z.string(), z.string()).optional(),
  optionalDependencies: z.record(z.string(), z.string()).optional(),
})
const Lock = z.object({ packages: z.record(z.string(), LockEntry) })
type LockEntry = z.infer<typeof LockEntry>

export interface ShippedPackage {
  readonly name: string
  readonly version: string
  /** As its package.json has it. */
  readonly license: string
  /** What npm compares the package with. */
  readonly integrity: string
  /** Those of our own dependencies that need it; itself if it is one. */
  readonly neededBy: readonly string[]
  /** A program or library for one kind of machine. */
  readonly isBinary: boolean
  /** The files with its licence; undefined if it is not installed here, and neither is its twin for the other processor. */
  readonly licenseFiles: readonly string[] | undefined
}

export function shippedPackages(): readonly ShippedPackage[] {
  const { packages } = Lock.parse(JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')))
  const needs = needers(packages)
  return Object.entries(packages)
    .filter(([path, entry]) => path !== '' && isShipped(entry))
    .map(([path, entry]) => ({
      name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
      version: entry.version ?? '',
      license: entry.license ?? 'none named',
      integrity: entry.integrity ?? '',
      neededBy: [...(needs.get(path) ?? [])].sort(),
      isBinary: entry.cpu !== undefined,
      licenseFiles: licenseFiles(path),
    }))
    .sort((a, b) => compare(a.name, b.name) || compare(a.version, b.version))
}

function isShipped({ dev, os, cpu, libc }: LockEntry): boolean {
  const has = (wanted: LockEntry['os'], ...found: string[]): boolean =>
    wanted === undefined || found.some((one) => wanted.includes(one))
  return dev !== true && has(os, 'linux') && has(cpu, ...PROCESSORS) && has(libc, 'glibc')
}

/** For each path, the names of our own dependencies that lead to it. */
function needers(packages: Readonly<Record<string, LockEntry>>): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>()
  const visit = (path: string, own: string): void => {
    const known = found.get(path) ?? new Set()
    if (known.has(own)) return
    found.set(path, known.add(own))
    for (const needed of dependencies(packages[path])) {
      const at = resolved(packages, path, needed)
      if (at !== undefined) visit(at, own)
    }
  }
  for (const own of dependencies(packages[''])) visit(`node_modules/${own}`, own)
  return found
}

function dependencies(entry: LockEntry | undefined): readonly string[] {
  return Object.keys({ ...entry?.dependencies, ...entry?.optionalDependencies })
}

/** Where Node finds a package from another one: in the nearest folder node_modules upwards. */
function resolved(
  packages: Readonly<Record<string, LockEntry>>,
  from: string,
  name: string,
): string | undefined {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    const path = folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`
    if (packages[path] !== undefined) return path
    if (folder === '') return undefined
  }
}

function licenseFiles(path: string): readonly string[] | undefined {
  const here = [path, path.replace(/arm64|x64/, (cpu) => (cpu === 'x64' ? 'arm64' : 'x64'))]
    .map((one) => join(ROOT, one))
    .find((one) => existsSync(one))
  if (here === undefined) return undefined
  return readdirSync(here)
    .filter((name) => /^(licen[cs]e|copying|unlicense|notice)/i.test(name))
    .sort()
}

/** By code, which is the same on every machine. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
