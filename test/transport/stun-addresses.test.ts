// STUN on a host with several addresses, in a network namespace of its own. Needs root on Linux.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { runOk } from '../support/process.ts'

const canHaveNamespace = spawnSync('unshare', ['-n', 'tc', 'qdisc']).status === 0
if (!canHaveNamespace)
  process.stderr.write('SKIPPING tests that need a network namespace: root, unshare and tc\n')

const HOST = fileURLToPath(new URL('../support/stun-host.ts', import.meta.url))

it.runIf(canHaveNamespace).each(['::', '0.0.0.0'])(
  'on %s answers from the address of the request, also if that was added later, and each client gets its own answer',
  async (host) => {
    const text = await runOk('unshare', ['-n', process.execPath, HOST, host])
    const { from, isNewAnswered, burst } = JSON.parse(text) as {
      from: Record<string, string>
      isNewAnswered: boolean
      burst: { right: number; wrong: number }
    }
    expect(Object.keys(from).length).toBe(host === '::' ? 8 : 5)
    for (const [asked, answered] of Object.entries(from)) expect(answered).toBe(asked.split(' ')[0])
    // Until the next update of addresses the wildcard socket answers, if from another address.
    expect(isNewAnswered).toBe(true)
    expect(burst.wrong).toBe(0)
    expect(burst.right).toBeGreaterThan(500)
  },
)
