// Which threads come first where several share a processor: STUN, then relay threads, then the control thread with its pages
// and files. Linux keeps niceness per thread; a new thread has that of the thread that makes it.
//
// Contract: without the privilege to raise priorities (root, CAP_SYS_NICE), nothing changes: a thread that is made again would
// stay behind.

import { readlinkSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'

/** Nine times the weight of a thread with the usual niceness: clients measure how long an answer takes. */
const STUN_NICENESS = -10
/**
 * A tenth of the weight of a relay thread: a page takes as long as a hundred packets, and on a full machine a tenth of a
 * processor is still enough for health, fleet state and admission.
 */
const CONTROL_NICENESS_MORE = 10
/** A hundredth and a half: what is left on a full machine while pages are requested hundreds of times a second, or made of all clients. */
const FLOOD_NICENESS_MORE = 19
/** The calling thread; on the main thread, the process's first. */
const OWN = 0

let usual: number | undefined
/** Why it yields further. */
let reasons = 0

/** The control thread yields to the relay threads from now on. */
export function yieldToRelayThreads(): void {
  if (usual !== undefined) return
  const niceness = getPriority(OWN)
  try {
    // Fails without the privilege that relay threads need to come back from here.
    setPriority(OWN, niceness - 1)
    setPriority(OWN, niceness + CONTROL_NICENESS_MORE)
    usual = niceness
  } catch {
    // Not privileged.
  }
}

/**
 * For the control thread: from now on it does what may take long and is of no use to packets, or no longer. Each begin has its end;
 * it yields further until all have ended.
 */
export function yieldToPackets(isBegin: boolean): void {
  reasons += isBegin ? 1 : -1
  if (usual === undefined || reasons !== (isBegin ? 1 : 0)) return
  setOwn(usual + (isBegin ? FLOOD_NICENESS_MORE : CONTROL_NICENESS_MORE))
}

/** The niceness of relay threads; undefined: the one that they are made with. */
export function relayNiceness(): number | undefined {
  return usual
}

/** For a relay thread: the niceness that the control thread knows. */
export function takeRelayPriority(niceness: number | undefined): void {
  if (niceness !== undefined) setOwn(niceness)
}

/**
 * For the STUN thread. Making an answer takes microseconds: it must not wait for a relay thread's time slice on the same
 * processor.
 */
export function takeStunPriority(): void {
  setOwn(STUN_NICENESS)
}

function setOwn(niceness: number): void {
  try {
    setPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1)), niceness)
  } catch {
    // Not privileged, or not Linux.
  }
}
