// `derpfleet probe`: checks one relay, or all relays of a DERP map, from outside, as clients see them, and prints the
// result of each check. The checks themselves are in probe/.

import { withoutSecrets } from '#fleet/secret-mask.ts'
import { packageVersion } from '#ops/version.ts'
import { probeTarget } from '#probe/probe.ts'
import { countsOf, jsonText } from '#probe/report.ts'
import { TARGET_EXPECTED } from '#probe/target.ts'
import { ExitCode, type Command, type Io, type TextSink } from './command.ts'
import { PROBE_OPTIONS, readProbeArguments, type ProbeArguments } from './probe-options.ts'
import {
  checkLines,
  coloured,
  isColourful,
  meshLines,
  plain,
  ProbeTable,
  summaryLine,
} from './probe-table.ts'
import { reportProblems } from './report.ts'
import { EXIT_CODES, optionLines } from './usage.ts'

export const probe: Command = {
  name: 'probe',
  summary: 'Check a relay, or all relays of a DERP map, as clients see them',
  async run(args, io) {
    const read = readProbeArguments(args)
    if (read.kind === 'help') {
      io.stdout.write(usage())
      return ExitCode.done
    }
    if (read.kind === 'misused') {
      reportProblems(io.stderr, 'derpfleet probe: nothing probed', read.problems)
      return ExitCode.misused
    }
    return run(read, io)
  },
}

async function run({ request, targetText, isJson }: ProbeArguments, io: Io): Promise<number> {
  const target = withoutSecrets(targetText)
  const sink: TextSink = isJson ? { write: () => true } : io.stdout
  const paint = isColourful(io) ? coloured : plain
  const table = new ProbeTable(sink, paint)
  const report = await probeTarget(request, {
    onMap: (map) => sink.write(`${target}\n${checkLines([map], paint)}\n`),
    onProgress: (nodes) => table.flush(nodes),
  })
  if ('unfit' in report) {
    io.stderr.write(`derpfleet probe: nothing probed: ${report.unfit}\n`)
    return ExitCode.misused
  }
  sink.write(meshLines(report.meshes, paint))
  sink.write(summaryLine(report))
  if (isJson) io.stdout.write(jsonText(report, { target, version: packageVersion() }))
  return countsOf(report).fail === 0 ? ExitCode.done : ExitCode.failed
}

function usage(): string {
  return `usage: derpfleet probe TARGET [sha256-raw:PIN] [-FLAG VALUE]...

TARGET is ${TARGET_EXPECTED}.

${optionLines(PROBE_OPTIONS)}
${EXIT_CODES}`
}
