// A lease names the process that holds it: free at once when that has certainly died, and else not before its time.

import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { hasDied, holderText } from '#certificates/lease-holder.ts'
import { RenewalLease } from '#certificates/renewal-lease.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { startProcess } from '../support/process.ts'

const LEASE = new URL('../../src/certificates/renewal-lease.ts', import.meta.url).href
const TAKE = `
  const { RenewalLease } = await import('${LEASE}')
  const lease = await RenewalLease.take(process.argv[1])
  console.log(lease === undefined ? 'refused' : 'taken')
  setInterval(() => {}, 1_000)
`

describe.skipIf(process.platform !== 'linux')('a lease of another process', () => {
  it('is held while that runs, and taken by one of many when it was killed', async () => {
    using folder = new TemporaryFolder()
    const path = folder.at('a.example+lease')
    const other = await startProcess(process.execPath, ['--input-type=module', '-e', TAKE, path], {
      readyWhen: /taken/,
    })
    expect(await RenewalLease.take(path)).toBeUndefined()
    other.signal('SIGKILL')
    await other.exited
    const leases = await Promise.all(Array.from({ length: 20 }, async () => await RenewalLease.take(path)))
    expect(leases.filter((lease) => lease !== undefined)).toHaveLength(1)
    expect(await RenewalLease.take(path)).toBeUndefined()
  })

  it('is held by a process of another host, boot or container, and by one that is not named', async () => {
    using folder = new TemporaryFolder()
    const path = folder.at('a.example+lease')
    const other = await startProcess(process.execPath, ['--input-type=module', '-e', TAKE, path], {
      readyWhen: /taken/,
    })
    other.signal('SIGKILL')
    await other.exited
    const text = readFileSync(path, 'utf8')
    expect(await hasDied(text)).toBe(true)
    const held = JSON.parse(text) as Record<string, unknown>
    const changes = [
      { boot: '3e8fd1f4-0000-4000-8000-000000000000' },
      { namespace: 'pid:[1]' },
      ...['owner', 'boot', 'namespace', 'pid', 'startTicks'].map((field) => ({ [field]: undefined })),
      { pid: 0 },
      { pid: -1 },
      { pid: '1' },
      { pid: 1e300 },
    ]
    for (const change of changes) {
      writeFileSync(path, JSON.stringify({ ...held, ...change }))
      expect(await RenewalLease.take(path), JSON.stringify(change)).toBeUndefined()
    }
    // As versions before have written it, and what nobody has written.
    for (const damaged of ['0123456789abcdef0123456789abcdef', '', 'null', '[]', '{', 'x'.repeat(10_000)]) {
      writeFileSync(path, damaged)
      expect(await RenewalLease.take(path), damaged.slice(0, 40)).toBeUndefined()
    }
  })

  it('is free if its process number was given to another process', async () => {
    const own = await holderText()
    expect(await hasDied(own)).toBe(false)
    const held = JSON.parse(own) as Record<string, unknown>
    expect(await hasDied(JSON.stringify({ ...held, startTicks: '1' }))).toBe(true)
  })

  it('is free if its process has ended and waits for its parent', async () => {
    const script = `sleep 1000 & echo $! ; exec sleep 1000`
    await using parent = await startProcess('sh', ['-c', script], { readyWhen: /\d+\n/ })
    const pid = Number(parent.output)
    const held = JSON.parse(await holderText()) as Record<string, unknown>
    const startTicks = (): string | undefined => readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[21]
    const text = JSON.stringify({ ...held, pid, startTicks: startTicks() })
    expect(await hasDied(text)).toBe(false)
    process.kill(pid, 'SIGKILL')
    await expect.poll(async () => await hasDied(text), { timeout: 10_000 }).toBe(true)
    // It is still listed.
    expect(startTicks()).toBeDefined()
  })
})
