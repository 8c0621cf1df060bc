// The command that compares VPNs over one relay and prints a Markdown table: direct, by bridges, by the lane, and Tailscale beside them,
// between two network namespaces. Everything shares the processors of this machine, both VPNs, both bridges, the relay and
// iperf3, so throughputs are floors: compare them with each other only. What a program is missing for is named under the table.

import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { MIDDLE } from '../../test/support/vpn-lab.ts'
import { runProcess } from '../../test/support/process.ts'
import { describeCommit, describeMachine } from '../machine.ts'
import { markdownTable } from '../markdown-table.ts'
import { GROUPS, type Group, Missing, usedPrograms } from './groups.ts'
import { measure, type Measured, rowOf } from './way.ts'

const USAGE = `usage: node bench/vpn/run.ts [--seconds N] [--rounds N] [--only WORD]
Measures TCP by iperf3 and pings, idle and under load, of each group of ways whose name has WORD. Needs root, iperf3, and what
npm run foreign builds.
`

interface Outcome {
  readonly rows: readonly (readonly string[])[]
  readonly skipped: string | undefined
}

async function compare(group: Group, seconds: number, rounds: number): Promise<Outcome> {
  const ends: (() => Promise<void>)[] = []
  try {
    const ways = await group.make((end) => void ends.push(end))
    const results = new Map<string, Measured[]>(ways.map(({ name }) => [name, []]))
    for (let round = 0; round < rounds; round++) {
      for (const way of ways) {
        const measured = await measure(way, seconds)
        results.get(way.name)?.push(measured)
        process.stderr.write(`${way.name}: ${measured.megabits.toFixed(0)} Mbit/s\n`)
        await sleep(1_000)
      }
    }
    return { rows: [...results].map(([name, all]) => rowOf(name, all)), skipped: undefined }
  } catch (error) {
    const { message } = error as Error
    // Minutes of other groups are not thrown away.
    if (!(error instanceof Missing)) process.exitCode = 1
    process.stderr.write(`SKIPPING ${group.name}: ${message}\n`)
    return { rows: [], skipped: `${group.name}: not measured, ${message}.` }
  } finally {
    for (const end of ends.toReversed()) await end()
  }
}

/** The first line that has a number of what the program says of itself. */
async function versionOf(program: string, ...args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await runProcess(program, args).catch(() => ({ stdout: '', stderr: '' }))
  const line = `${stdout}\n${stderr}`.split('\n').find((one) => /\d/.test(one)) ?? ''
  return /[\w-]*\d+\.\d+[\w.-]*/.exec(line)?.[0] ?? 'unknown'
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '10' },
      rounds: { type: 'string', default: '3' },
      only: { type: 'string', default: '' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return void process.stdout.write(USAGE)
  const outcomes: Outcome[] = []
  for (const group of GROUPS.filter(({ name }) => name.includes(values.only)))
    outcomes.push(await compare(group, Number(values.seconds), Number(values.rounds)))
  const { cpu, cpuCount, kernel, node } = await describeMachine()
  const built = [...usedPrograms].filter((name) => /\d/.test(name)).join(', ')
  const programs = `${built}, OpenVPN ${await versionOf('openvpn', '--version')}, strongSwan ${await versionOf('/usr/lib/ipsec/charon', '--version')}, iperf3 ${await versionOf('iperf3', '--version')}`
  const where = `${cpuCount} × ${cpu}, ${kernel}, Node ${node}, commit ${await describeCommit()}, relay ${MIDDLE}`
  const headings = ['way', 'CPU s/GB', 'TCP Mbit/s', 'ping ms idle', 'ping ms loaded']
  const rows = outcomes.flatMap((one) => one.rows)
  process.stdout.write(`${where}\n${programs}\n${markdownTable(headings, 2, rows)}\n`)
  for (const { skipped } of outcomes) if (skipped !== undefined) process.stdout.write(`\n${skipped}\n`)
}

await main()
