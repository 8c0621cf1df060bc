// Compares docs/signals-and-health.md with the code: every check, signal and exit code must be documented there.

import { globSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { ExitCode } from '#cli/command.ts'
import { RelaySignals } from '#control/relay-signals.ts'

const root = new URL('../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')
const page = read('docs/signals-and-health.md')

/** The first cell of each table row. */
const cells = page
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
  .map((line) => line.split('|')[1]?.trim() ?? '')

/** The names of all checks in the sources. */
const checkNames = globSync('src/**/*.ts', { cwd: root })
  .map(read)
  .filter((text) => /\bcheck\(\): (CheckOutcome|\{)|\bcheck: \(\) =>/.test(text))
  .flatMap((text) => Array.from(text.matchAll(/(?:readonly name = |\bname: )'([^']+)'/g)))
  .map(([, name = '']) => name)

it('has each check of /readyz, and no other', () => {
  expect(checkNames).toEqual(expect.arrayContaining(['relay_threads', 'certificate', 'mesh', 'stun']))
  const documented = cells.filter((cell) => /^`\w+`$/.test(cell)).map((cell) => cell.replaceAll('`', ''))
  expect(documented.sort()).toEqual([...new Set(checkNames)].sort())
})

it('has each signal that a relay handles', () => {
  const signals: string[] = []
  const parts = { endNow: () => undefined, isTerminalGone: () => false, now: () => 0 }
  const { stopped } = new RelaySignals({ on: (signal) => signals.push(signal) }, parts)
  expect(stopped).toBeInstanceOf(Promise)
  const documented = new Set(cells.flatMap((cell) => cell.match(/\bSIG\w+/g) ?? []))
  for (const signal of signals) expect(documented, signal).toContain(signal)
})

it('has each exit code', () => {
  for (const code of Object.values(ExitCode)) expect(cells).toContain(String(code))
})
