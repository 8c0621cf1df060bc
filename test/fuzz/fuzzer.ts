// Runs campaigns in threads of their own and watches their progress: a thread without progress has an input that
// never ends. Findings can be kept as files that the tests replay.

import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { Finding, Outcome } from './campaign.ts'
import { PROGRESS_BYTES, type FuzzJob } from './job.ts'

const REGRESSIONS = fileURLToPath(new URL('regressions', import.meta.url))
/** Much longer than a slow input takes on a slow machine. */
const STALL_MS_MAX = 20_000

export interface FuzzOptions {
  readonly names: readonly string[]
  readonly seed: number
  readonly forMs: number
}

/** Runs campaigns side by side in one thread; returns the outcome of each. */
export async function fuzz({ names, seed, forMs }: FuzzOptions): Promise<readonly Outcome[]> {
  const progress = new SharedArrayBuffer(PROGRESS_BYTES)
  const workerData: FuzzJob = { names, seed, forMs, progress }
  const worker = new Worker(new URL('worker.ts', import.meta.url), {
    workerData,
    execArgv: ['--disable-warning=ExperimentalWarning'],
  })
  const done = Promise.withResolvers<{ outcomes: readonly Outcome[]; uncaught: readonly string[] }>()
  worker.once('message', done.resolve)
  worker.once('error', done.reject)
  worker.once('exit', (code) => done.reject(new Error(`the fuzzing thread ended with ${code}`)))
  let before = -1
  const watch = setInterval(() => {
    const [count = 0] = new Uint32Array(progress, 0, 1)
    if (count > 0 && count === before)
      done.reject(new Error(`an attempt does not end: ${lastOf(progress, names)}`))
    before = count
  }, STALL_MS_MAX)
  try {
    const { outcomes, uncaught } = await done.promise
    const [first] = uncaught
    if (first !== undefined) throw new Error(`uncaught exception in one of ${names.join(', ')}: ${first}`)
    return outcomes
  } finally {
    clearInterval(watch)
    await worker.terminate()
  }
}

function lastOf(progress: SharedArrayBuffer, names: readonly string[]): string {
  const [, seed = 0, length = 0, at = 0] = new Uint32Array(progress, 0, 4)
  const input = Buffer.from(new Uint8Array(progress, 16, length))
  return `${names[at]}, seed ${seed}, input in base64 ${input.toString('base64')}`
}

/** Keeps a finding for the tests to replay; returns its file. */
export function keepFinding(name: string, { input, seed }: Finding): string {
  const folder = `${REGRESSIONS}/${name}`
  mkdirSync(folder, { recursive: true })
  const hash = createHash('sha256').update(input).digest('hex').slice(0, 12)
  const path = `${folder}/${hash}-${seed}`
  writeFileSync(path, input)
  return path
}

export interface Regression {
  readonly name: string
  readonly file: string
  readonly input: Buffer
  readonly seed: number
}

/** All kept findings. A file's name ends with the seed of its attempt. */
export function regressions(): readonly Regression[] {
  return readdirSync(REGRESSIONS, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) =>
      readdirSync(`${REGRESSIONS}/${name}`).map((file) => ({
        name,
        file,
        input: readFileSync(`${REGRESSIONS}/${name}/${file}`),
        seed: Number(file.split('-').at(-1)),
      })),
    )
}
