// The record of a run: all results as JSON, from which tables and plots are made. Written after every figure, so that
// an interrupted run loses at most one figure and can be resumed.

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Facts } from './bench.ts'
import type { Effort } from './effort.ts'
import type { FigureResult } from './figure.ts'
import type { Machine } from './machine.ts'

/** Changes when the meaning of the fields changes, so that old records are not misread. */
const FORMAT = 1

export interface RunRecord {
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

export function newRunRecord(parts: Omit<RunRecord, 'format' | 'figures' | 'started'>): RunRecord {
  return { format: FORMAT, started: new Date().toISOString(), figures: {}, ...parts }
}

/** @throws Error if the file is not a record of this format */
export async function readRunRecord(path: string): Promise<RunRecord> {
  const record = JSON.parse(await readFile(path, 'utf8')) as Omit<RunRecord, 'format'> & { format: number }
  if (record.format !== FORMAT)
    throw new Error(`${path}: expected a record of format ${FORMAT}, got ${record.format}`)
  return { ...record, format: FORMAT }
}

/** The record that a program's only argument names. If there is none, prints the usage and returns undefined. */
export async function recordFromArguments(
  program: string,
): Promise<{ path: string; record: RunRecord } | undefined> {
  const [path] = process.argv.slice(2)
  if (path?.endsWith('.json') === true) return { path, record: await readRunRecord(path) }
  process.stderr.write(`usage: ${program} bench/results/DATE-COMMIT.json\n`)
  process.exitCode = 2
  return undefined
}

export async function writeRunRecord(path: string, record: RunRecord): Promise<void> {
  await replaceFile(path, `${JSON.stringify(record, numbers, 1)}\n`)
}

/** Six digits: no measurement here is more precise. */
function numbers(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value
}

/** Replaces a file atomically. */
export async function replaceFile(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(`${path}.new`, text)
  await rename(`${path}.new`, path)
}
