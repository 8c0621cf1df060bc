// What a run was made on, for whoever compares it with another: processor, kernel, versions, what sysctls say of TCP,
// and how much of the processors' time others took.

import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { cpus, release, totalmem, type } from 'node:os'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface Machine {
  readonly cpu: string
  readonly cpuCount: number
  readonly memoryGb: number
  readonly kernel: string
  readonly node: string
  readonly openssl: string
  readonly tcp: Readonly<Record<string, string>>
}

/** The kernel's unit towards programs, on every architecture that Node is built for. */
const TICKS_PER_SECOND = 100

const SYSCTLS = ['tcp_rmem', 'tcp_wmem', 'tcp_notsent_lowat', 'tcp_congestion_control']

export async function describeMachine(): Promise<Machine> {
  const tcp: Record<string, string> = {}
  for (const name of SYSCTLS) {
    const text = await readFile(`/proc/sys/net/ipv4/${name}`, 'utf8').catch(() => '')
    tcp[name] = text.trim().replaceAll(/\s+/g, ' ')
  }
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cpuCount: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: `${type()} ${release()}`,
    node: process.version,
    openssl: process.versions.openssl,
    tcp,
  }
}

/** The commit that is checked out, short, with `-changed` when files of the program differ from it. */
export async function describeCommit(): Promise<string> {
  try {
    const cwd = new URL('..', import.meta.url)
    const { stdout } = await run('git', ['rev-parse', '--short=8', 'HEAD'], { cwd })
    const changed = await run('git', ['status', '--porcelain', '--', 'src', 'bin', 'package.json'], { cwd })
    return `${stdout.trim()}${changed.stdout.trim() === '' ? '' : '-changed'}`
  } catch {
    return 'unknown'
  }
}

/** Processor time of a process so far, user and system; 0 when there is none. */
export async function cpuSeconds(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_SECOND
}

/** Resident memory of a process; NaN when there is none. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return 1_024 * Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN)
}

export interface ProcessorTicks {
  readonly total: number
  readonly stolen: number
}

/** What part of the processors' time since `before` the machine under this one took. */
export async function stolenShare(before: ProcessorTicks): Promise<number> {
  const { total, stolen } = await processorTicks()
  return (stolen - before.stolen) / (total - before.total)
}

/** Processor time since boot, in ticks: all of it, and what the machine under this one took. */
export async function processorTicks(): Promise<ProcessorTicks> {
  const text = await readFile('/proc/stat', 'utf8')
  const fields = /^cpu +(.*)$/m.exec(text)?.[1]?.split(' ').map(Number) ?? []
  return { total: fields.slice(0, 8).reduce((sum, ticks) => sum + ticks, 0), stolen: fields[7] ?? 0 }
}
