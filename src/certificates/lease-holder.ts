// The text of a lease, which names its holder: a process, so that another process of the same host sees whether that has died.
// A process is named by its number, by its start, since numbers are used again, and by the boot and the process namespace
// in which both mean something: containers of one host may share a folder.
//
// Contract: what is unknown counts as alive: a holder on another host or in another container, a text of another version, a
// damaged text, a system without /proc. Such a lease ends by its age.

import { randomBytes } from 'node:crypto'
import { readFile, readlink } from 'node:fs/promises'

/** The content of the file; only `owner` is always there. */
interface Holder {
  /** No two leases have the same. */
  readonly owner: string
  readonly boot?: string | undefined
  readonly namespace?: string | undefined
  readonly pid: number
  /** In the kernel's clock ticks since the boot. */
  readonly startTicks?: string | undefined
}

/** A new text for this process. */
export async function holderText(): Promise<string> {
  const { pid } = process
  const status = await statusOf(pid)
  const owner = randomBytes(16).toString('hex')
  const holder: Holder = { owner, ...(await placeOf()), pid, startTicks: status?.startTicks }
  return `${JSON.stringify(holder)}\n`
}

/** Whether the process that the text of a lease names has certainly ended. */
export async function hasDied(text: string): Promise<boolean> {
  const holder = holderIn(text)
  if (holder === undefined) return false
  const { boot, namespace } = await placeOf()
  if (holder.boot !== boot || holder.namespace !== namespace) return false
  if (isFree(holder.pid)) return true
  const status = await statusOf(holder.pid)
  return status !== undefined && (status.isEnded || status.startTicks !== holder.startTicks)
}

/** Undefined unless it has all parts. */
function holderIn(text: string): Required<Holder> | undefined {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof content !== 'object' || content === null) return undefined
  const { owner, boot, namespace, pid, startTicks } = content as Partial<Holder>
  const areTexts = [owner, boot, namespace, startTicks].every((one) => typeof one === 'string' && one !== '')
  // Zero and negative numbers name groups of processes.
  return areTexts && Number.isSafeInteger(pid) && Number(pid) > 0 ? (content as Required<Holder>) : undefined
}

/** Of this process: where the numbers of processes mean the same. */
async function placeOf(): Promise<Pick<Holder, 'boot' | 'namespace'>> {
  const [boot, namespace] = await Promise.all([
    readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => undefined),
    readlink('/proc/self/ns/pid').catch(() => undefined),
  ])
  return { boot: boot?.trim(), namespace }
}

/** Asks the kernel, because /proc may hide the processes of other users. */
function isFree(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

/** Undefined if it cannot be read. The name of the program, in parentheses, may have any characters. */
async function statusOf(pid: number): Promise<{ startTicks: string; isEnded: boolean } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  const [state, ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ')
  // Field 22 of proc(5), as the state is field 3.
  const startTicks = fields[18]
  // A process that has ended, and whose parent has not asked how, keeps its number.
  return startTicks === undefined ? undefined : { startTicks, isEnded: state === 'Z' || state === 'X' }
}
