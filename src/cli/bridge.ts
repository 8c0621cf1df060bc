// `derpfleet bridge`: carries a VPN other than Tailscale over relays while its own way is cut. `status`, `key` and `unit` are what an
// operator needs beside it.

import { Bridge, type RelayWay } from '#bridge/bridge.ts'
import { RouteGuard } from '#bridge/route-guard.ts'
import { StatusServer } from '#bridge/status-server.ts'
import { WgProgram } from '#bridge/wg-control.ts'
import { problemText, reasonOf } from '#fleet/problem.ts'
import { BRIDGE_OPTIONS, FILE_EXPECTED, readBridgeArguments, type BridgeRequest } from './bridge-options.ts'
import { datagramCallsOf, limitUnsent, rawCalls, relayWayOf } from './bridge-relay.ts'
import { printBridgeKey } from './bridge-key.ts'
import { printBridgeStatus } from './bridge-status.ts'
import { printBridgeUnit } from './bridge-unit.ts'
import { runCommandLine } from './command-line.ts'
import { ExitCode, type Command, type Io } from './command.ts'
import { terminalText } from './terminal-text.ts'
import { EXIT_CODES, optionLines } from './usage.ts'

type Part = (args: readonly string[], io: Io) => Promise<number>

const PARTS: Readonly<Record<string, Part>> = {
  status: printBridgeStatus,
  key: printBridgeKey,
  unit: printBridgeUnit,
}

export const bridge: Command = {
  name: 'bridge',
  summary: 'Carry WireGuard or another VPN over relays while its own way is cut',
  async run([first = '', ...rest], io) {
    const part = Object.hasOwn(PARTS, first) ? PARTS[first] : undefined
    if (part !== undefined) return await part(rest, io)
    const args = first === '' ? [] : [first, ...rest]
    const texts = { usage, refusal: 'derpfleet bridge: not started' }
    return await runCommandLine(readBridgeArguments(args), io, texts, run)
  },
}

async function run(request: BridgeRequest, io: Io): Promise<number> {
  const { settings } = request
  const log = (message: string): void => void io.stderr.write(`${terminalText(message)}\n`)
  const guard = new RouteGuard(settings.interfaceName ?? '', request.allowedIps)
  let relay: RelayWay
  try {
    relay = await relayWayOf(request, guard, log)
    await limitUnsent(relay)
  } catch (error) {
    io.stderr.write(`derpfleet bridge: not started: ${reasonOf(error)}\n`)
    return ExitCode.failed
  }
  const started = new Bridge(settings, {
    relay,
    wg: settings.interfaceName === undefined ? undefined : new WgProgram(settings.interfaceName),
    isInside: (address) => guard.isInside(address),
    rawCalls,
    datagramCalls: await datagramCallsOf(),
    log,
  })
  const status = new StatusServer(started)
  const ended = untilSignal()
  try {
    await started.start()
    await openStatus(status, request, log)
  } catch (error) {
    io.stderr.write(`derpfleet bridge: not started: ${reasonOf(error)}\n`)
    await started.stop()
    return ExitCode.failed
  }
  for (const { settings: peer, port } of started.peers) {
    log(`${peer.name}: the bridge's port for the VPN is ${peer.listen.host}:${port}`)
  }
  io.stdout.write(`${settings.name}: the bridge runs\n`)
  await ended
  status.stop()
  await started.stop()
  await guard.stop()
  return ExitCode.done
}

async function openStatus(
  status: StatusServer,
  { statusSocket, isStatusNeeded, metrics }: BridgeRequest,
  log: (message: string) => void,
): Promise<void> {
  if (metrics !== undefined) await status.listenOnPort(metrics.host, metrics.port)
  if (statusSocket === undefined) return
  try {
    await status.listenOn(statusSocket)
  } catch (error) {
    const problem = { where: statusSocket, found: reasonOf(error), expected: 'a path for -status-socket' }
    if (isStatusNeeded) throw new Error(problemText(problem), { cause: error })
    log(`"derpfleet bridge status" will not find this bridge: ${problemText(problem)}`)
  }
}

async function untilSignal(): Promise<void> {
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
}

function usage(): string {
  return `usage: derpfleet bridge FILE -relay URL [-FLAG VALUE]...
       derpfleet bridge -config FILE
       derpfleet bridge status [NAME] [-json]
       derpfleet bridge key FILE
       derpfleet bridge unit

FILE is ${FILE_EXPECTED}.

${optionLines(BRIDGE_OPTIONS)}
${EXIT_CODES}`
}
