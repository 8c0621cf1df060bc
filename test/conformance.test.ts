import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const root = new URL('../', import.meta.url)
const table = readFileSync(new URL('docs/conformance.md', root), 'utf8')
const rows = table
  .split('\n')
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .filter(([, point = '', , file = '']) => file.startsWith('test/') && point !== '#')
  .map(([, point = '', , file = '', name = '']) => ({ point, file, name }))

it('has a row for every point of the protocol', () => {
  const named = new Set(rows.flatMap(({ point }) => point.split('–').map(Number)))
  expect(Array.from({ length: 72 }, (_, i) => i + 1).filter((point) => !named.has(point))).toEqual([])
})

it.each(rows)('point $point: $file has "$name"', ({ file, name }) => {
  expect(verdict(readFileSync(new URL(file, root), 'utf8'), name)).toBe('checks something')
})

describe('the check of a row', () => {
  const good = "it('holds', () => {\n  expect(1).toBe(1)\n})\n"

  it.each([
    ['checks something', good],
    [
      'checks something',
      "test.each([\n  ['a'],\n])('%s holds', async () => {\n  await expect(f()).rejects.toThrow()\n})\n",
    ],
    ['checks something', "it.skipIf(!has)('holds', () => {\n  expect(1).toBe(1)\n})\n"],
    ['checks something', "function sees() {\n  expect(1).toBe(1)\n}\nit('holds', () => sees())\n"],
    ['is not there', "it('held', () => {\n  expect(1).toBe(1)\n})\n"],
    ['is not there', "// it('holds', () => {\n//   expect(1).toBe(1)\n// })\n"],
    ['is skipped', good.replace('it(', 'it.skip(')], // a sample to be refused
    ['is skipped', good.replace('it(', 'it.todo(')], // a sample to be refused
    ['is skipped', "it.skip.each([1])('holds', () => {\n  expect(1).toBe(1)\n})\n"], // a sample to be refused
    ['is skipped', `describe.skip('all', () => {\n  ${good.replaceAll('\n', '\n  ')}})\n`], // a sample to be refused
    ['is skipped', "it('holds', ({ skip }) => {\n  skip()\n  expect(1).toBe(1)\n})\n"],
    ['checks nothing', "it('holds', () => {})\n"],
    [
      'checks nothing',
      `it('holds', () => {\n  // expect(1).toBe(1)\n})\n\n${good.replace('holds', 'other')}`,
    ],
    ['checks nothing', `it('holds', () => {\n  run()\n})\n\n${good.replace('holds', 'other')}`],
  ])('finds that the test %s', (expected, code) => {
    expect(verdict(code, 'holds')).toBe(expected)
  })
})

/** What the test whose title contains `name` is worth, read from its formatted code. */
function verdict(file: string, name: string): string {
  const code = withoutComments(file)
  // A title may be followed by several lines of options, and contain quotes of either kind.
  const nameAt = code.indexOf(name)
  if (nameAt === -1) return 'is not there'
  const startAt = [...code.slice(0, nameAt).matchAll(/^ *(?:it|test)\b/gm)].at(-1)?.index ?? 0
  const indent = /^ */.exec(code.slice(startAt))?.[0] ?? ''
  const end = new RegExp(`\\n${indent}[^ \\n]`).exec(code.slice(nameAt))
  const body = code.slice(nameAt, end === null ? undefined : nameAt + end.index)
  const isSkipped =
    /^ *(it|test)\.(skip|todo)\b/.test(code.slice(startAt)) ||
    /\bdescribe\.(skip|todo)\b/.test(code) ||
    /(?<!\.)\bskip\(|\bcontext\.skip\(/.test(body)
  if (isSkipped) return 'is skipped'
  return checks(body, code) ? 'checks something' : 'checks nothing'
}

/** Code that can fail. */
const CHECKS = /\bexpect\w*[(.]|\bthrow new |\breject\(new |\bwaitUntil\(/

/** Whether the body can fail by itself, or calls a function of the same file that can. */
function checks(body: string, code: string): boolean {
  if (CHECKS.test(body)) return true
  const helpers = [...code.matchAll(/^(?:async )?function (\w+)[^]*?^}/gm)]
  return helpers.some(([text, name = '']) => CHECKS.test(text) && new RegExp(`\\b${name}\\(`).test(body))
}

function withoutComments(code: string): string {
  return code.replaceAll(/^ *\/\/.*\n/gm, '').replaceAll('\\', '')
}
