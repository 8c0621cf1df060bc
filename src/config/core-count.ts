// How many cores this process may keep busy: those it may run on, and no more than its control groups' quotas pay
// for. Node's own count knows affinity but no quota, and a relay with more threads than paid cores is stopped by
// the kernel for most of every 100 ms.

import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'

/** Where the kernel tells about control groups; tests bring folders of their own. */
export interface CgroupPaths {
  /** The process's groups, one `ID:CONTROLLERS:PATH` a line. */
  readonly membership: string
  /** The mount point of the group file systems. */
  readonly mount: string
}

const SYSTEM: CgroupPaths = { membership: '/proc/self/cgroup', mount: '/sys/fs/cgroup' }
/** Version 1 mounts its CPU controller under one of these names. */
const V1_CONTROLLERS = ['cpu', 'cpu,cpuacct', 'cpuacct,cpu']

/** Cores, rounded down, at least one. */
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

/** The path and its parents up to the root: inside a container the root is often all that is visible. */
function groupsUpwards(path: string): string[] {
  return path === '/' || path === '.' ? ['/'] : [path, ...groupsUpwards(dirname(path))]
}

/** `cpu.max`: "QUOTA PERIOD" in microseconds, or "max PERIOD". */
function quotaV2(folder: string): number {
  const [quota, period] = (readText(join(folder, 'cpu.max')) ?? '').trim().split(' ')
  return coresOf(Number(quota), Number(period))
}

/** Two files in microseconds; a quota of −1 is none. */
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
    // The other version of control groups, another system, or a group that this process may not see.
    return undefined
  }
}
