// `derpfleet bridge status`: how the bridges of this host are, asked over their Unix sockets.

import { readdirSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { lineOf, paddedCells } from '#ops/text-table.ts'
import { readFlags } from '#config/flags.ts'
import { boolean } from '#config/option-kind.ts'
import { OptionValues } from '#config/option-values.ts'
import type { OptionTable } from '#config/option.ts'
import type { Problem } from '#fleet/problem.ts'
import type { BridgeStatus, PeerStatus } from '#bridge/status.ts'
import { STATUS_FOLDER, statusSocketOf } from './bridge-options.ts'
import { ExitCode, type Io } from './command.ts'
import { splitArguments } from './probe-options.ts'
import { reportProblems } from './report.ts'
import { terminalText } from './terminal-text.ts'
import { EXIT_CODES, optionLines } from './usage.ts'

const STATUS_OPTIONS = {
  json: { kind: boolean, fallback: 'false', about: 'Print one JSON document: a list of bridges' },
  help: { kind: boolean, fallback: 'false', about: 'Print this page' },
} as const satisfies OptionTable

const TIMEOUT_MS = 5_000
const ANSWER_BYTES_MAX = 1_048_576

export async function printBridgeStatus(args: readonly string[], io: Io): Promise<number> {
  const { targetText, rest } = splitArguments(args, STATUS_OPTIONS)
  const flags = readFlags(STATUS_OPTIONS, rest)
  const problems: Problem[] = [...flags.problems]
  const values = new OptionValues(STATUS_OPTIONS, flags.values, problems)
  if (values.get('help')) {
    io.stdout.write(
      `usage: derpfleet bridge status [NAME|SOCKET] [-json]\n\n${optionLines(STATUS_OPTIONS)}\n${EXIT_CODES}`,
    )
    return ExitCode.done
  }
  if (problems.length > 0) {
    reportProblems(io.stderr, 'derpfleet bridge status: not asked', problems)
    return ExitCode.misused
  }
  const paths = targetText === undefined ? allSockets() : [socketOf(targetText)]
  if (paths.length === 0) {
    io.stderr.write(`derpfleet bridge status: no bridge runs here: no socket in ${STATUS_FOLDER}\n`)
    return ExitCode.failed
  }
  const answers: BridgeStatus[] = []
  for (const path of paths) {
    try {
      answers.push(await ask(path))
    } catch (error) {
      io.stderr.write(
        `derpfleet bridge status: ${path}: ${error instanceof Error ? error.message : String(error)}\n`,
      )
    }
  }
  io.stdout.write(
    values.get('json') ? `${JSON.stringify(answers, undefined, 2)}\n` : answers.map(page).join('\n'),
  )
  return answers.length === paths.length ? ExitCode.done : ExitCode.failed
}

function socketOf(name: string): string {
  return name.includes('/') ? name : statusSocketOf(name)
}

function allSockets(): readonly string[] {
  try {
    const names = readdirSync(STATUS_FOLDER).filter((name) => /^bridge-.*\.sock$/.test(name))
    return names.sort().map((name) => join(STATUS_FOLDER, name))
  } catch {
    return []
  }
}

async function ask(socketPath: string): Promise<BridgeStatus> {
  return await new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: '/status', timeout: TIMEOUT_MS }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (text: string) => {
        body += text
        if (body.length > ANSWER_BYTES_MAX) asked.destroy(new Error('the answer is too long'))
      })
      response.on('end', () => {
        try {
          resolve(JSON.parse(body) as BridgeStatus)
        } catch (error) {
          reject(new Error('the answer is not JSON', { cause: error }))
        }
      })
    })
    asked.on('timeout', () => asked.destroy(new Error('no answer')))
    asked.on('error', reject)
    asked.end()
  })
}

function page({ name, mode, isConnected, connects, problem, peers, key }: BridgeStatus): string {
  const relay = isConnected ? 'connected' : connects === 0 ? 'never connected' : 'not connected'
  const rows = [
    ['peer', 'way', 'since', 'switches', 'bridge', 'to relay', 'from relay', 'directly', 'dropped'],
    ...peers.map(row),
  ]
  const lines = paddedCells(rows).map(lineOf)
  const trouble = problem === undefined ? '' : `WireGuard   ${terminalText(problem)}\n`
  return `bridge      ${terminalText(name)}, mode ${mode}\nkey         ${key}\nrelay       ${relay}\n${trouble}\n${lines.join('\n')}\n`
}

function row(peer: PeerStatus): string[] {
  const { name, way, seconds, switches, isBridgeHeard, bytesToRelay, bytesFromRelay } = peer
  const { bytesDirectOut, bytesDirectIn } = peer
  const dropped = peer.droppedToRelay + peer.droppedFromRelay
  return [
    terminalText(name),
    way,
    seconds === undefined ? '-' : `${seconds} s`,
    switches === undefined ? '-' : `${switches}`,
    isBridgeHeard ? 'heard' : 'silent',
    `${bytesToRelay}`,
    `${bytesFromRelay}`,
    `${bytesDirectOut + bytesDirectIn}`,
    `${dropped}`,
  ]
}
