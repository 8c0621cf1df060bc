// The machine and the commit of a run, for comparison with other runs: processor, kernel, versions, TCP settings.

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

/** What is measured; the rest measures it or describes it. */
const PROGRAM = ['src', 'bin', 'package.json', 'package-lock.json']

/** The short hash of the commit that is checked out, with `-changed` if files of the program differ from it. */
export async function describeCommit(): Promise<string> {
  try {
    const cwd = new URL('..', import.meta.url)
    const { stdout } = await run('git', ['rev-parse', '--short=8', 'HEAD'], { cwd })
    const changed = await run('git', ['status', '--porcelain', '--', ...PROGRAM], { cwd })
    return `${stdout.trim()}${changed.stdout.trim() === '' ? '' : '-changed'}`
  } catch {
    return 'unknown'
  }
}

/** Whether two commits, as `describeCommit` names them, have the same relay. Two states with changes are not compared. */
export async function haveSameProgram(one: string, other: string): Promise<boolean> {
  if (one === other) return true
  const args = ['diff', '--quiet', one, other, '--', ...PROGRAM]
  return await run('git', args, { cwd: new URL('..', import.meta.url) }).then(
    () => true,
    () => false,
  )
}
