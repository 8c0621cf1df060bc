// Runs the program: bin/derpfleet as a process, and its commands within this process for tests of their output alone,
// because starting a process takes half a second.

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
import { PROGRAM } from '../support/program-path.ts'

/** Runs a command in this process, with only the given environment. */
export async function derpfleet(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<RunResult> {
  const output = { stdout: '', stderr: '' }
  const code = await runCommand(args, {
    stdout: { write: (text) => (output.stdout += text) },
    stderr: { write: (text) => (output.stderr += text) },
    // Without it, relays would keep their state with those of this machine.
    env: { STATE_DIRECTORY: process.env.STATE_DIRECTORY, ...env },
    signals: stoppingAtOnce(),
    endAtOnce: () => {
      throw new Error('not expected in this test')
    },
  })
  return { code, ...output }
}

/** Signals that stop a relay as soon as it runs: no test starts a lasting relay in this process. */
function stoppingAtOnce(): RelaySignals {
  const source: SignalSource = { on: (signal, listener) => signal === 'SIGTERM' && listener(signal) }
  return new RelaySignals(source, { endNow: () => {}, isTerminalGone: () => false, now: () => 0 })
}

/** Runs bin/derpfleet as a process. */
export function derpfleetProcess(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return runProcess(PROGRAM, args, options)
}

export function startDerpfleet(args: readonly string[], options: StartOptions): Promise<RunningProcess> {
  return startProcess(PROGRAM, args, options)
}

/** Flags with which every listener of a relay uses a free port of loopback. */
export const FREE_PORTS = ['-a', '127.0.0.1:0', '-http-port', '0', '-stun-port', '0', '-admin', '127.0.0.1:0']
