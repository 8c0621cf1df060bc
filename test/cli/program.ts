// The program as its users have it: bin/derpfleet in a process of its own.

import { fileURLToPath } from 'node:url'
import {
  runProcess,
  startProcess,
  type RunOptions,
  type RunResult,
  type RunningProcess,
  type StartOptions,
} from '../support/process.ts'

export const PROGRAM = fileURLToPath(new URL('../../bin/derpfleet', import.meta.url))

export function derpfleet(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return runProcess(PROGRAM, args, options)
}

export function startDerpfleet(args: readonly string[], options: StartOptions): Promise<RunningProcess> {
  return startProcess(PROGRAM, args, options)
}

/** The flags with which every listener of a relay takes a free port of loopback. */
export const FREE_PORTS = ['-a', '127.0.0.1:0', '-http-port', '0', '-stun-port', '0', '-admin', '127.0.0.1:0']
