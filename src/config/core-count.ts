// The number of cores that this process may keep busy: the cores of its affinity, limited by the CPU quotas of its
// control groups. Node's own count respects affinity but no quota, and the kernel stops a relay with more threads
// than its quota allows for most of every 100 ms.

import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'

/** Where the kernel describes control groups; tests use folders of their own. */
export interface CgroupPaths {
  /** The process's groups, one `ID:CONTROLLERS:PATH` a line. */
  readonly membership: string
  /** The mount point of the group file systems. */
  readonly mount: string
}

const SYSTEM: CgroupPaths = { membership: '/proc/self/cgroup', mount: '/sys/fs/cgroup' }
/** Version 1 mounts its CPU controller under one of these names. */
const V1_CONTROLLERS = ['cpu', 'cpu,cpuacct', 'cpuacct,cpu']

/** Rounded down, at least one. */
export function usableCoreCount(cores: number = availableParallelism(), paths: CgroupPaths = SYSTEM): number {
  return Math.max(1, Math.floor(Math.min(cores, quotaCores(paths))))
}

/** The smallest quota among the process's CPU groups and all above them, in cores; Infinity without one. */
export function quotaCores(paths: CgroupPaths): number {
  const quotas = (readText(paths.membership) ?? '').split('\n').flatMap((line) => {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (controllers === '' && path !== '')
      return groupsUpwards(path).map((at) => quotaV2(join(paths.mount, at)))
    if (!controllers.split(',').includes('cpu')) return []
    return V1_CONTROLLERS.flatMap((name) =>
      groupsUpwards(path).map((at) => quotaV1(join(paths.mount, name, at))),
    )
  })
  return Math.min(Infinity, ...quotas)
}

/** The path and its parents up to the root. Inside a container, often only the root is visible. */
function groupsUpwards(path: string): string[] {
  return path === '/' || path === '.' ? ['/'] : [path, ...groupsUpwards(dirname(path))]
}

/** `cpu.max`: "QUOTA PERIOD" in microseconds, or "max PERIOD". */
function quotaV2(folder: string): number {
  const [quota, period] = (readText(join(folder, 'cpu.max')) ?? '').trim().split(' ')
  return coresOf(Number(quota), Number(period))
}

/** Two files in microseconds; a quota of −1 disables the limit. */
function quotaV1(folder: string): number {
  const quota = Number(readText(join(folder, 'cpu.cfs_quota_us')) ?? Number.NaN)
  return coresOf(quota, Number(readText(join(folder, 'cpu.cfs_period_us')) ?? Number.NaN))
}

function coresOf(quota: number, period: number): number {
  return quota > 0 && period > 0 ? quota / period : Infinity
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // The host has the other version of control groups or none, or hides the group from this process.
    return undefined
  }
}
