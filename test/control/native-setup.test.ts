// The program where native calls do not work, because their package is not installed.

import { fileURLToPath } from 'node:url'
import { expect, it, vi } from 'vitest'
import { FREE_PORTS, derpfleetProcess, startDerpfleet } from '../cli/program.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'

// The program starts in half a second, or in ten while other tests keep both cores busy.
vi.setConfig({ testTimeout: 90_000 })

const NODE_OPTIONS = `--import ${fileURLToPath(new URL('../support/no-koffi.ts', import.meta.url))}`

function serve(folder: TemporaryFolder, native: string): string[] {
  return ['serve', '-c', folder.at('key'), ...FREE_PORTS, '-threads', '2', '-native', native]
}

it('serves with the other ways, and says so once and in its metrics', async () => {
  using folder = new TemporaryFolder()
  await using relay = await startDerpfleet(serve(folder, 'auto'), {
    readyWhen: /relay_started/,
    env: { NODE_OPTIONS },
  })
  expect(relay.output.match(/"event":"native_failed","reason":"Cannot find package 'koffi'/g)).toHaveLength(1)
  const [, admin] = /"admin":"([^"]+)"/.exec(relay.output) ?? []
  const metrics = await (await fetch(`http://${admin}/metrics`)).text()
  expect(metrics).toContain('derp_native_info{use="tcp_user_timeout",way="proc_scan"} 1\n')
  expect(metrics).toContain('derp_native_info{use="client_round_trip",way="off"} 1\n')
})

it('does not start if the setting demands them', async () => {
  using folder = new TemporaryFolder()
  const { code, stderr } = await derpfleetProcess(serve(folder, 'on'), { env: { NODE_OPTIONS } })
  expect(code).toBe(1)
  expect(stderr).toMatch(/native calls do not work, and -native is on: Cannot find package 'koffi'/)
})
