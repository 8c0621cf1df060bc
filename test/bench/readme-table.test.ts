// The README's figures are those of a committed record, to the letter.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { headlineSource, withHeadline } from '../../bench/readme-table.ts'
import { readRecord } from '../../bench/run-record.ts'

const ROOT = join(import.meta.dirname, '../..')

describe("the README's figures", () => {
  it('are those of the record that it names, of a full run', async () => {
    const readme = await readFile(join(ROOT, 'README.md'), 'utf8')
    const source = headlineSource(readme)
    if (source === undefined) throw new Error('README.md: names no record')
    const record = await readRecord(join(ROOT, source))
    expect(withHeadline(readme, source, record)).toBe(readme)
    expect(record.effort).toMatchObject({ isQuick: false, rounds: 5 })
    expect(record.commit).not.toContain('changed')
  })
})
