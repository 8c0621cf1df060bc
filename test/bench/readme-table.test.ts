// The README's table has exactly the numbers of a committed record.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readmeTableSource, withReadmeTable } from '../../bench/readme-table.ts'
import { readRunRecord } from '../../bench/run-record.ts'

const ROOT = join(import.meta.dirname, '../..')

describe("the README's table", () => {
  it('is that of the record that it names, which is of a full run', async () => {
    const readme = await readFile(join(ROOT, 'README.md'), 'utf8')
    const source = readmeTableSource(readme)
    if (source === undefined) throw new Error('README.md: no record is named')
    const record = await readRunRecord(join(ROOT, source))
    expect(withReadmeTable(readme, source, record)).toBe(readme)
    expect(record.effort).toMatchObject({ isQuick: false, rounds: 5 })
    expect(record.commit).not.toContain('changed')
  })
})
