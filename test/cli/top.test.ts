// What `derpfleet top` shows when a relay refuses to answer, and how it leaves the terminal.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { expect, it, onTestFinished } from 'vitest'
import { screenOf } from '#cli/top.ts'
import { waitUntil } from '../support/process.ts'
import { PROGRAM } from '../support/program-path.ts'

/** util-linux's `script`, which runs a program on a terminal of its own. */
const hasScript = spawnSync('script', ['--version']).status === 0
if (!hasScript) process.stderr.write('SKIPPING tests of a terminal: script is not on the PATH\n')

it('says why a relay refuses, and not that it is not ready', () => {
  const refused = { status: 401, body: { error: 'the token is wrong' } }
  expect(screenOf(refused, 'name', 24)).toBe('the token is wrong\n')
})

it.runIf(hasScript).each(['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT'] as const)(
  'gives the terminal back when %s ends it',
  async (signal) => {
    // Nobody listens there: it says so, and asks again.
    const top = `sh -c 'echo "pid $$;"; exec "${PROGRAM}" top -addr 127.0.0.1:1'`
    const terminal = spawn('script', ['-qec', `ulimit -c 0; ${top}; echo "code $?;"; stty -a`, '/dev/null'], {
      env: { ...process.env, TERM: 'xterm', SHELL: '/bin/sh' },
    })
    onTestFinished(() => void terminal.kill('SIGKILL'))
    let output = ''
    terminal.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
    await waitUntil('it shows a screen', () => output.includes('q quits'))
    const ended = once(terminal, 'exit')
    process.kill(Number(/pid (\d+);/.exec(output)?.[1]), signal)
    await ended
    const code = { SIGTERM: 143, SIGHUP: 129, SIGINT: 130, SIGQUIT: 131 }[signal]
    expect(output).toContain(`code ${code};`)
    const [screen, after] = output.split('\u{1b}[?25h\u{1b}[?1049l')
    expect(screen).toContain('\u{1b}[?1049h')
    expect(after).toMatch(/[^-]icanon/)
    expect(after).toMatch(/[^-]echo /)
  },
)
