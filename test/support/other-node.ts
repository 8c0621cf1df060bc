// Runs tests under a line of Node that is not the one of package.json: the test runner, the relays in it, and the programs that
// tests start. `npm run test:node24` runs the tests below, which CI does on each change. With files, it runs those:
// `npm run test:node24 -- --project=tests --project=hostile --project=load test/` runs the whole suite.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { foreign } from './foreign.ts'
import { runOk } from './process.ts'

const ROOT = join(import.meta.dirname, '../..')

/** What depends on Node's internals, TLS, threads and descriptors; and real clients. */
const TESTS = [
  'test/transport/acceptor.test.ts',
  'test/transport/acceptor-limits.test.ts',
  'test/transport/certificate-replacement.test.ts',
  'test/transport/handle-connection.test.ts',
  'test/transport/handle-selftest.test.ts',
  'test/transport/http-server.test.ts',
  'test/transport/live-relay.test.ts',
  'test/transport/native.test.ts',
  'test/transport/openssl-layer.test.ts',
  'test/transport/stun-server.test.ts',
  'test/transport/tls-contexts.test.ts',
  'test/transport/upgrade-handler.test.ts',
  'test/transport/web-socket.test.ts',
  'test/control/relay-threads.test.ts',
  'test/worker/thread-priority.test.ts',
  'test/client/derper.test.ts',
  'test/integration/tailscale.test.ts',
]
/** Of the tests with real clients: not derper as the relay, and not the second way of a login. Of the threads': not the slowest. */
const NAMES = '^(?!.*(through derper|without fast start|waiting bytes holds|die repeatedly))'

const found = await foreign('node-24')
if ('missing' in found) {
  process.stderr.write(`SKIPPING the tests under another Node: ${found.missing}\n`)
} else {
  const args = process.argv.slice(2)
  const hasFiles = args.some((arg) => !arg.startsWith('-'))
  process.exitCode = await runTests(found.path, hasFiles ? args : [...args, '-t', NAMES, ...TESTS])
}

async function runTests(cached: string, args: readonly string[]): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'other-node-'))
  const node = join(folder, 'node')
  try {
    // Some tests run the program as another user, for whom this user's cache is closed.
    chmodSync(folder, 0o755)
    copyFileSync(cached, node)
    const PATH = `${folder}${delimiter}${process.env.PATH ?? ''}`
    const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs')
    process.stdout.write(`tests under Node ${await runOk(node, ['--version'])}`)
    const child = spawn(node, [vitest, 'run', ...args], {
      cwd: ROOT,
      stdio: 'inherit',
      env: { ...process.env, PATH, DERPFLEET_NODE_PROGRAM: node },
    })
    const [code] = (await once(child, 'exit')) as [number | null]
    return code ?? 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
