// The program as its users have it: bin/derpfleet in a process of its own; and its commands in this process, for
// what is about their words alone, since a process of its own costs half a second.

import { fileURLToPath } from 'node:url'
import { runCommand } from '#cli/commands.ts'
import { RelaySignals, type SignalSource } from '#control/relay-signals.ts'
import {
  runProcess,
  startProcess,
  type RunOptions,
  type RunResult,
  type RunningProcess,
  type StartOptions,
} from '../support/process.ts'

export const PROGRAM = fileURLToPath(new URL('../../bin/derpfleet', import.meta.url))

/** A command, in this process. It sees no other environment than it is given. */
export async function derpfleet(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<RunResult> {
  const output = { stdout: '', stderr: '' }
  const code = await runCommand(args, {
    stdout: { write: (text) => (output.stdout += text) },
    stderr: { write: (text) => (output.stderr += text) },
    env,
    signals: stoppedAtOnce(),
    endAtOnce: () => {
      throw new Error('not asked for here')
    },
  })
  return { code, ...output }
}

/** Nothing that is started in this process is meant to go on. */
function stoppedAtOnce(): RelaySignals {
  const source: SignalSource = { on: (signal, listener) => signal === 'SIGTERM' && listener(signal) }
  return new RelaySignals(source, { endNow: () => {}, isTerminalGone: () => false, now: () => 0 })
}

/** The program as it is installed. */
export function derpfleetProcess(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return runProcess(PROGRAM, args, options)
}

export function startDerpfleet(args: readonly string[], options: StartOptions): Promise<RunningProcess> {
  return startProcess(PROGRAM, args, options)
}

/** The flags with which every listener of a relay takes a free port of loopback. */
export const FREE_PORTS = ['-a', '127.0.0.1:0', '-http-port', '0', '-stun-port', '0', '-admin', '127.0.0.1:0']
