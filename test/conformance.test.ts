import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const root = new URL('../', import.meta.url)
const table = readFileSync(new URL('docs/conformance.md', root), 'utf8')
const rows = table
  .split('\n')
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .filter(([, point = '', , file = '']) => file.startsWith('test/') && point !== '#')
  .map(([, point = '', , file = '', name = '']) => ({ point, file, name }))

it('names every point of the protocol', () => {
  const named = new Set(rows.flatMap(({ point }) => point.split('–').map(Number)))
  expect(Array.from({ length: 72 }, (_, i) => i + 1).filter((point) => !named.has(point))).toEqual([])
})

it.each(rows)('point $point: $file has "$name"', ({ file, name }) => {
  const code = readFileSync(new URL(file, root), 'utf8')
  // A name may stand over several lines of code, and holds quotes of either kind.
  expect(code.replaceAll('\\', '').includes(name)).toBe(true)
})
