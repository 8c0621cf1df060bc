// Whether another process belongs to the same service of the service manager as this one: a service's processes share a
// control group. Two runs of a relay may be one service, or two instances of a template unit. Runs on the control thread.

import { readFileSync } from 'node:fs'

/** False for a process that is not there, or that this user may not look at. */
export function isInSameService(pid: number): boolean {
  try {
    return groupsOf('self') === groupsOf(String(pid))
  } catch {
    return false
  }
}

function groupsOf(process: string): string {
  return readFileSync(`/proc/${process}/cgroup`, 'utf8')
}
