// The record of a run: everything that was measured, as JSON, from which tables and plots are made. Written after
// every figure, so that an interrupted run loses one figure at most and can be gone on with.

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Effort, Facts } from './bench.ts'
import type { FigureResult } from './figure.ts'
import type { Machine } from './machine.ts'

/** A change of meaning, so that old records are not read as new ones. */
const FORMAT = 1

export interface Record {
  readonly format: typeof FORMAT
  readonly started: string
  readonly commit: string
  readonly machine: Machine
  readonly effort: Effort
  /** In the order of the tables' columns. */
  readonly servers: readonly { readonly name: string; readonly command: string }[]
  readonly reference: string
  readonly commandLine: string
  readonly facts: Facts
  readonly figures: { [name: string]: FigureResult }
}

export function newRecord(parts: Omit<Record, 'format' | 'figures' | 'started'>): Record {
  return { format: FORMAT, started: new Date().toISOString(), figures: {}, ...parts }
}

/** @throws Error when it is no record of this format */
export async function readRecord(path: string): Promise<Record> {
  const record = JSON.parse(await readFile(path, 'utf8')) as Omit<Record, 'format'> & { format: number }
  if (record.format !== FORMAT)
    throw new Error(`${path}: expected a record of format ${FORMAT}, got ${record.format}`)
  return { ...record, format: FORMAT }
}

/** The record that a program's only argument names; undefined, and the usage said, when that names none. */
export async function recordAsked(program: string): Promise<{ path: string; record: Record } | undefined> {
  const [path] = process.argv.slice(2)
  if (path?.endsWith('.json') === true) return { path, record: await readRecord(path) }
  process.stderr.write(`usage: ${program} bench/results/DATE-COMMIT.json\n`)
  process.exitCode = 2
  return undefined
}

export async function writeRecord(path: string, record: Record): Promise<void> {
  await writeWhole(path, `${JSON.stringify(record, numbers, 1)}\n`)
}

/** Six digits are more than any measurement here has. */
function numbers(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value
}

/** Either the old file or the new one, never a part. */
export async function writeWhole(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(`${path}.new`, text)
  await rename(`${path}.new`, path)
}
