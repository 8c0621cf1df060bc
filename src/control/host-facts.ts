// Limits and settings of the host as this process has them, from /proc: some hold for the process, some for its network
// namespace, so nobody else can read them for a relay in a container. Judges nothing. Runs on the control thread.

import { readFileSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import type { HostFacts } from '#fleet/relay-facts.ts'
import { descriptorsMax, lowestFreeDescriptor } from '#transport/descriptors.ts'
import { BACKLOG } from '#transport/listening-port.ts'

/** @param settings the folder with the kernel's settings; another one only in tests */
export function hostFacts(settings = '/proc/sys/net'): HostFacts {
  const read = (name: string): number | undefined => numberIn(join(settings, name))
  return {
    descriptorsMax: finite(descriptorsMax()),
    descriptorsUsed: finite(lowestFreeDescriptor()),
    somaxconn: read('core/somaxconn'),
    backlog: BACKLOG,
    notsentLowatBytes: read('ipv4/tcp_notsent_lowat'),
    conntrackCount: read('netfilter/nf_conntrack_count'),
    conntrackMax: read('netfilter/nf_conntrack_max'),
  }
}

/** Bytes that this process may still write there; undefined where the system does not tell. */
export function freeBytesAt(folder: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(folder)
    return bavail * bsize
  } catch {
    return undefined
  }
}

function numberIn(path: string): number | undefined {
  try {
    const text = readFileSync(path, 'latin1').trim()
    return /^\d+$/.test(text) ? Number(text) : undefined
  } catch {
    // A kernel without the setting, or a container without /proc.
    return undefined
  }
}

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined
}
