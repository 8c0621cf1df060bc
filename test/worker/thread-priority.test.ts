// The priorities of a relay's threads, as the kernel has them.

import { readdirSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { FREE_PORTS, startDerpfleet } from '../cli/program.ts'
import { waitUntil } from '../support/process.ts'
import { ReloadingRelay } from '../support/reloading-relay.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'

const RELAY_THREADS = 2

/** The names in the kernel of the main thread and the workers: on Node 22 that of the program, since then their own. */
const NAMES = ['(node)', '(MainThread)', '(WorkerThread)']

/** Of each of these threads. */
function nicenessOf(pid: number): readonly number[] {
  const stats = readdirSync(`/proc/${pid}/task`).map((task) =>
    readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8'),
  )
  // proc(5): the niceness is field 19; the name is field 2, in parentheses.
  return stats
    .filter((stat) => NAMES.some((name) => stat.includes(name)))
    .map((stat) => Number(stat.split(') ')[1]?.split(' ')[16]))
}

it.skipIf(process.getuid?.() !== 0)(
  'STUN comes before relay threads, and those before the control thread',
  async () => {
    using folder = new TemporaryFolder()
    const args = ['serve', '--quick-start', ...FREE_PORTS, '-threads', `${RELAY_THREADS}`]
    await using relay = await startDerpfleet(args, { cwd: folder.path, readyWhen: /Ctrl-C stops it/ })
    const found = nicenessOf(relay.pid ?? 0)
    expect(found.filter((niceness) => niceness === -10)).toHaveLength(1)
    expect(found.filter((niceness) => niceness === 10)).toHaveLength(1)
    expect(found.filter((niceness) => niceness === 0).length).toBeGreaterThanOrEqual(RELAY_THREADS)
  },
)

it.skipIf(process.getuid?.() !== 0)(
  'the control thread yields further while pages are requested far too often',
  async () => {
    await using relay = await ReloadingRelay.start('')
    const has = (niceness: number): boolean => nicenessOf(relay.process.pid ?? 0).includes(niceness)
    const request = async (): Promise<unknown> => await relay.page('/livez')
    for (let n = 0; n < 50; n++) await request()
    expect([has(10), has(19)]).toEqual([true, false])
    await waitUntil('it yields', async () => {
      await Promise.all(Array.from({ length: 50 }, request))
      return has(19) && !has(10)
    })
    await waitUntil('it is over', () => has(10) && !has(19), 10_000)
  },
)
