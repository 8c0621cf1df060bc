// The relay writes only its key file. It serves without a folder for temporary files, with a read-only /tmp, and after a
// cleaner has removed that folder.

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { startProcess, type RunningProcess } from '../support/process.ts'
import { FREE_PORTS } from './program.ts'
import { PROGRAM } from '../support/program-path.ts'

const STARTED = /^\{.*"event":"relay_started".*"derp":"127\.0\.0\.1:(\d+)"/m
const ARGS = ['serve', '-threads', '2', ...FREE_PORTS]

async function expectServing(running: RunningProcess): Promise<void> {
  const port = Number(STARTED.exec(running.output)?.[1])
  const pages = ['/derp/latency-check', '/generate_204', '/'].map((path) => `http://127.0.0.1:${port}${path}`)
  const answers = await Promise.all(pages.map(async (page) => await fetch(page)))
  expect(answers.map(({ status }) => status)).toEqual([200, 204, 200])
  for (const way of ['websocket', 'upgrade'] as const) {
    const client = await DerpClient.connect({ host: '127.0.0.1', port, tls: false, key: newKeyPair(), way })
    await client.ping()
    await client.close()
  }
}

it('serves without a folder for temporary files', async () => {
  using folder = new TemporaryFolder()
  const args = [...ARGS, '-c', folder.at('derper.key')]
  await using running = await startProcess(PROGRAM, args, {
    env: { TMPDIR: folder.at('nowhere') },
    readyWhen: STARTED,
  })
  await expectServing(running)
})

it('leaves nothing in the folder for temporary files, and serves on when that is removed', async () => {
  using folder = new TemporaryFolder()
  const scratch = folder.at('scratch')
  mkdirSync(scratch)
  const args = [...ARGS, '-c', folder.at('derper.key')]
  await using running = await startProcess(PROGRAM, args, { env: { TMPDIR: scratch }, readyWhen: STARTED })
  await expectServing(running)
  expect(readdirSync(scratch)).toEqual([])
  rmSync(scratch, { recursive: true })
  await expectServing(running)
})

const mayUnshare = spawnSync('unshare', ['-m', 'mount', '--bind', '-o', 'ro', '/tmp', '/tmp']).status === 0
if (!mayUnshare) process.stderr.write('SKIPPING a test with a read-only /tmp: it needs root\n')

it.skipIf(!mayUnshare)('serves with a read-only /tmp', async () => {
  mkdirSync(join(homedir(), '.cache'), { recursive: true })
  const folder = mkdtempSync(join(homedir(), '.cache/serve-folders-'))
  const command =
    'mount --bind /tmp /tmp && mount -o remount,ro,bind /tmp && ! touch /tmp/x 2>/dev/null && exec "$@"'
  const args = ['-m', 'sh', '-c', command, 'sh', PROGRAM, ...ARGS, '-c', join(folder, 'derper.key')]
  try {
    await using running = await startProcess('unshare', args, { readyWhen: STARTED })
    await expectServing(running)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
