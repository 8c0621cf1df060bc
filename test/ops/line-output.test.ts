// LineOutput over real descriptors: a full device, and a FIFO that the test reads, or does not.

import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { expect, it, onTestFinished } from 'vitest'
import { LineOutput } from '#ops/line-output.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'

const lostLine = (count: number): string => `lost ${count}\n`
const NON_BLOCKING = constants.O_NONBLOCK

function open(path: string, flags: number): number {
  const descriptor = openSync(path, flags)
  onTestFinished(() => closeSync(descriptor))
  return descriptor
}

/** A FIFO and its first reader. */
function makeFifo(): { path: string; reader: number } {
  const folder = new TemporaryFolder()
  onTestFinished(() => folder[Symbol.dispose]())
  const path = folder.at('fifo')
  execFileSync('sh', ['-c', 'mkfifo "$0"', path])
  return { path, reader: openSync(path, constants.O_RDONLY | NON_BLOCKING) }
}

/** All that can be read now. */
function readAll(reader: number): string {
  const buffer = Buffer.alloc(65_536)
  let text = ''
  for (;;) {
    try {
      const count = readSync(reader, buffer)
      if (count === 0) return text
      text += buffer.toString('latin1', 0, count)
    } catch {
      return text
    }
  }
}

/** A line of 100 bytes. */
const numbered = (at: number): string => `${String(at).padStart(99, '.')}\n`

it('a full disk costs only lines, and these are counted', () => {
  const output = new LineOutput(open('/dev/full', constants.O_WRONLY), lostLine)
  for (let at = 1; at <= 100; at++) {
    output.write(numbered(at))
    expect(output.linesLost).toBe(at)
  }
  output.flush()
  expect(output.linesLost).toBe(100)
})

it('a paused reader blocks nothing; when it resumes, it gets the waiting lines and then the number of lost ones', async () => {
  const { path, reader } = makeFifo()
  onTestFinished(() => closeSync(reader))
  const output = new LineOutput(open(path, constants.O_WRONLY | NON_BLOCKING), lostLine)
  const written = 20_000
  for (let at = 0; at < written; at++) output.write(numbered(at))
  const { linesLost } = output
  // The pipe's buffer holds 64 KiB, and 1 MiB waits.
  expect(written - linesLost).toBeGreaterThan(1_048_576 / 100)
  expect(written - linesLost).toBeLessThan(1_200_000 / 100)
  let text = ''
  await expect.poll(() => (text += readAll(reader)).includes('lost'), { timeout: 20_000 }).toBe(true)
  const kept = Array.from({ length: written - linesLost }, (_, at) => numbered(at))
  expect(text).toBe([...kept, lostLine(linesLost)].join(''))
  output.write('again\n')
  expect(readAll(reader)).toBe('again\n')
  expect(output.linesLost).toBe(linesLost)
})

it('continues when its reader continues, without another line', async () => {
  const { path, reader } = makeFifo()
  onTestFinished(() => closeSync(reader))
  const output = new LineOutput(open(path, constants.O_WRONLY | NON_BLOCKING), lostLine)
  for (let at = 0; at < 1_000; at++) output.write(numbered(at))
  let text = ''
  await expect.poll(() => (text += readAll(reader)).length, { timeout: 10_000 }).toBe(100_000)
  expect(output.linesLost).toBe(0)
})

it('reports a loss once to the reader that replaces a closed one', () => {
  const { path, reader } = makeFifo()
  const output = new LineOutput(open(path, constants.O_WRONLY | NON_BLOCKING), lostLine)
  output.write('first\n')
  expect(readAll(reader)).toBe('first\n')
  closeSync(reader)
  for (let at = 0; at < 3; at++) output.write('nobody reads this\n')
  expect(output.linesLost).toBe(3)
  const other = open(path, constants.O_RDONLY | NON_BLOCKING)
  output.write('second\n')
  output.write('third\n')
  expect(readAll(other)).toBe('lost 3\nsecond\nthird\n')
})

it('a line that was cut when its reader closed does not run into the next line', () => {
  const { path, reader } = makeFifo()
  const output = new LineOutput(open(path, constants.O_WRONLY | NON_BLOCKING), lostLine)
  output.write(`${'x'.repeat(100_000)}\n`)
  expect(readAll(reader)).toMatch(/^x+$/)
  closeSync(reader)
  const other = open(path, constants.O_RDONLY | NON_BLOCKING)
  output.write('whole\n')
  const lines = readAll(other).split('\n')
  expect(lines.at(-2)).toBe('whole')
})

it('flush waits for a slow reader, but not for a stuck one', () => {
  const { path, reader } = makeFifo()
  onTestFinished(() => closeSync(reader))
  const output = new LineOutput(open(path, constants.O_WRONLY | NON_BLOCKING), lostLine)
  for (let at = 0; at < 1_000; at++) output.write(numbered(at))
  const startMs = performance.now()
  output.flush()
  expect(performance.now() - startMs).toBeLessThan(10_000)
  expect(readAll(reader).length).toBeGreaterThan(0)
})
