import { describe, expect, test } from 'vitest'
import { libraryConsole } from '#ops/library-output.ts'
import { Log } from '#ops/log.ts'

function lines(level: 'debug' | 'info'): { log: Log; written: string[] } {
  const written: string[] = []
  return { log: new Log(level, { write: (line) => written.push(line) }), written }
}

describe('text that a library prints', () => {
  test('is one log line, even with hostile content', () => {
    const { log, written } = lines('debug')
    const hostile = `\u0000\u001b[2J\n{"level":"error"}${'x'.repeat(10_000)}`
    libraryConsole(log).log('reader closed', new Error(hostile))
    libraryConsole(log).error('!!!', hostile)
    expect(written).toHaveLength(2)
    for (const line of written) {
      expect(line.endsWith('\n')).toBe(true)
      expect(line.indexOf('\n')).toBe(line.length - 1)
      expect(line).not.toContain('\u001b')
      expect(line.length).toBeLessThan(2_000)
      expect(JSON.parse(line)).toMatchObject({ level: 'debug', event: 'library_printed' })
    }
  })

  test('is not logged at info', () => {
    const { log, written } = lines('info')
    libraryConsole(log).warn('something')
    expect(written).toEqual([])
  })
})
