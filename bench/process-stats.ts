// CPU time and memory of a process, and processor time of the machine, from /proc.

import { readFile } from 'node:fs/promises'

/** USER_HZ: 100 on every architecture that Node supports, whatever the kernel's own rate. */
const TICKS_PER_SECOND = 100

/** User and system time that a process has used; 0 if it does not exist. */
export async function cpuSeconds(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // The name, in parentheses, may contain any character. utime and stime are fields 14 and 15.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_SECOND
}

/** Resident memory of a process; NaN if it does not exist. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return 1_024 * Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN)
}

export interface ProcessorTicks {
  readonly total: number
  readonly stolen: number
}

/** The share of processor time since `before` that the host of this virtual machine took. */
export async function stolenShare(before: ProcessorTicks): Promise<number> {
  const { total, stolen } = await processorTicks()
  return (stolen - before.stolen) / (total - before.total)
}

/** Processor time since boot in ticks: all of it, and what the host of this virtual machine took ("steal"). */
export async function processorTicks(): Promise<ProcessorTicks> {
  const text = await readFile('/proc/stat', 'utf8')
  const fields = /^cpu +(.*)$/m.exec(text)?.[1]?.split(' ').map(Number) ?? []
  return { total: fields.slice(0, 8).reduce((sum, ticks) => sum + ticks, 0), stolen: fields[7] ?? 0 }
}
