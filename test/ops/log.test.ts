import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { LogEvent } from '#ops/log-event.ts'
import { readableLine } from '#ops/log-line.ts'
import { Log } from '#ops/log.ts'

/** A log that keeps its lines for the test. */
function logged(level: 'debug' | 'info' | 'warn' | 'error'): { log: Log; lines: () => unknown[] } {
  let text = ''
  const log = new Log(level, { write: (line) => (text += line) })
  const parsed = (): unknown[] =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line): unknown => JSON.parse(line))
  return { log, lines: parsed }
}

describe('a line', () => {
  it('has a level, a time and an event, and the fields of the event', () => {
    const { log, lines } = logged('info')
    log.warn(LogEvent.relayNotReady, { message: 'no mesh key' })
    expect(lines()).toEqual([
      {
        level: 'warn',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        event: 'relay_not_ready',
        message: 'no mesh key',
      },
    ])
  })

  it('has an error with its stack and its causes', () => {
    const { log, lines } = logged('info')
    const cause = new Error('connection refused')
    log.error(LogEvent.relayFailed, { error: new Error('no admission', { cause }) })
    expect(lines()).toMatchObject([
      {
        error: {
          message: 'no admission',
          stack: expect.any(String),
          cause: { message: 'connection refused' },
        },
      },
    ])
  })

  it('is written at the minimum level or above; the level can change', () => {
    const { log, lines } = logged('warn')
    log.info(LogEvent.relayStarted)
    expect(log.isEnabled('info')).toBe(false)
    log.setLevel('debug')
    expect(log.isEnabled('debug')).toBe(true)
    log.debug(LogEvent.relayReady)
    log.setLevel('error')
    log.warn(LogEvent.relayStopping)
    expect(lines()).toMatchObject([{ level: 'debug', event: 'relay_ready' }])
  })
})

describe('as text', () => {
  const readable = (fields: object): string =>
    readableLine(
      JSON.stringify({ level: 'info', time: '2030-01-02T03:04:05.678Z', event: 'session_ended', ...fields }),
    )

  it('a line is short and has the same fields', () => {
    expect(readable({ reason: 'write_stalled', remote: '192.0.2.1:5', key: '[abc/+]', count: 3 })).toBe(
      '03:04:05.678 info  session_ended reason=write_stalled remote=192.0.2.1:5 key=[abc/+] count=3\n',
    )
  })

  it('a value that is not one plain word is quoted; an error is its message', () => {
    expect(readable({ text: 'two words', empty: '', sum: 'a=b' })).toContain(
      'text="two words" empty="" sum="a=b"',
    )
    expect(readable({ error: { type: 'Error', message: 'port in use', stack: 'Error: …\n at' } })).toContain(
      'error="port in use"\n',
    )
  })

  it('text from a remote can neither move the cursor nor forge a line', () => {
    const line = readable({ appName: 'x\u001b[2J\n03:04:05.678 info  relay_ready \u009b31m\u202e\u007f' })
    expect(line.slice(0, -1)).toMatch(/^[ -~]*$/)
  })

  it('a line that is not JSON is shown quoted', () => {
    expect(readableLine('a\u0007b\n')).toBe(String.raw`??:??:??.??? ?     ? line="a\u0007b"` + '\n')
  })
})

describe('the log of a process', () => {
  /** A program that writes a thousand lines and then ends in the given way. */
  const program = (end: string, format = 'json'): string[] => [
    '--input-type=module',
    '--eval',
    [
      "import { Log } from '#ops/log.ts'",
      `const log = Log.open('info', '${format}')`,
      "for (let at = 0; at < 1000; at++) log.info('relay_started', { at })",
      end,
    ].join('\n'),
  ]

  it('is JSON, and complete even if the process exits at once', () => {
    const { stdout, stderr, status } = spawnSync(process.execPath, program('process.exit(3)'), {
      encoding: 'utf8',
    })
    expect([stdout, status]).toEqual(['', 3])
    const lines = stderr.trimEnd().split('\n')
    expect(lines).toHaveLength(1_000)
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ level: 'info', event: 'relay_started', at: 999 })
  })

  it('is complete after a flush, even if the process is killed', () => {
    const killed = program("log.flush(); process.kill(process.pid, 'SIGKILL')")
    const { stderr, signal } = spawnSync(process.execPath, killed, { encoding: 'utf8' })
    expect(signal).toBe('SIGKILL')
    expect(stderr.trimEnd().split('\n')).toHaveLength(1_000)
  })

  it('is text with the format text', () => {
    const { stderr } = spawnSync(process.execPath, program('process.exit(3)', 'text'), { encoding: 'utf8' })
    const lines = stderr.trimEnd().split('\n')
    expect(lines).toHaveLength(1_000)
    expect(lines.at(-1)).toMatch(/^\d\d:\d\d:\d\d\.\d{3} info {2}relay_started at=999$/)
  })
})
