import { globSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { LogEvent } from '#ops/log-event.ts'

const root = new URL('../../', import.meta.url)
const page = readFileSync(new URL('docs/log-events.md', root), 'utf8')

interface Row {
  readonly event: string
  readonly level: string
  readonly fields: readonly string[]
  readonly meaning: string
  readonly advice: string
}

const rows: readonly Row[] = page
  .split('\n')
  .filter((line) => /^\| `\w+` \| \w+ \|/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, event = '', level = '', fields = '', meaning = '', advice = '']) => ({
    event: event.replaceAll('`', ''),
    level,
    fields: [...fields.matchAll(/`(\w+)`/g)].map(([, field]) => field ?? ''),
    meaning,
    advice,
  }))

const CALL = /\blog\.(debug|info|warn|error)\(\s*LogEvent\.(\w+)(?:,\s*\{([^{}]*)\})?/g

/** The calls in the sources that log an event, with the level and the fields that each names. */
const calls = globSync('src/**/*.ts', { cwd: root })
  .map((path) => readFileSync(new URL(path, root), 'utf8'))
  .flatMap((text) => Array.from(text.matchAll(CALL)))
  .map(([, level = '', name = '', fields = '']) => ({
    level,
    event: LogEvent[name as keyof typeof LogEvent],
    fields: fields
      .split(',')
      .map((field) => field.trim())
      .filter((field) => /^\w+(: .*)?$/.test(field))
      .map((field) => /^\w+/.exec(field)?.[0] ?? ''),
  }))

describe('docs/log-events.md', () => {
  it('has each event once, and no other', () => {
    expect(rows.map(({ event }) => event).sort()).toEqual(Object.values(LogEvent).sort())
  })

  it.each(rows)('has a meaning and an action for $event', ({ level, meaning, advice }) => {
    expect(['debug', 'info', 'warn', 'error']).toContain(level)
    expect(meaning).toMatch(/\.$/)
    expect(advice).toMatch(/^–$|\.$/)
  })

  it('has the level and the fields that the program logs', () => {
    expect(calls.length).toBeGreaterThan(Object.keys(LogEvent).length / 2)
    const documented = new Map(rows.map((row) => [row.event, row]))
    const wrong = calls.filter(({ event, level, fields }) => {
      const row = documented.get(event)
      return row?.level !== level || fields.some((field) => !row.fields.includes(field))
    })
    expect(wrong).toEqual([])
  })
})
