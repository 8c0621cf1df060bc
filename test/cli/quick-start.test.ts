import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { certificatePin } from '#protocol/self-signed.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import type { RunningProcess } from '../support/process.ts'
import { derpfleet, derpfleetProcess, FREE_PORTS, startDerpfleet } from './program.ts'

function start(folder: TemporaryFolder, ...args: string[]): Promise<RunningProcess> {
  const all = ['serve', '--quick-start', ...FREE_PORTS, ...args]
  return startDerpfleet(all, { cwd: folder.path, readyWhen: /Ctrl-C stops it\.\n/ })
}

/** The node that the program prints for Headscale. */
function pastedNode(output: string): Record<string, unknown> {
  const [, pasted = ''] = /derp\.paths to \[derp\.yaml\]:\n\n([^]*?)\n\n/.exec(output) ?? []
  return parse(pasted).regions[900].nodes[0]
}

async function statusOf(port: unknown, ca: string): Promise<number | undefined> {
  const options = { host: '127.0.0.1', port: Number(port), path: '/derp/probe', servername: 'localhost', ca }
  const outgoing = request(options).end()
  const [incoming] = await once(outgoing, 'response')
  incoming.resume()
  return incoming.statusCode
}

test('serves TLS on loopback with the files that it created, and prints how to use it', async () => {
  using folder = new TemporaryFolder()
  await using relay = await start(folder)
  const pem = readFileSync(folder.at('state/localhost.crt'), 'utf8')
  const node = pastedNode(relay.output)
  expect(node).toEqual({
    name: '900a',
    regionid: 900,
    hostname: 'localhost',
    certname: certificatePin(new X509Certificate(pem).raw),
    ipv4: '127.0.0.1',
    stunport: expect.any(Number),
    derpport: expect.any(Number),
  })
  expect(relay.output).toContain(`  DERP   127.0.0.1:${String(node.derpport)}, TLS for localhost\n`)
  expect(await statusOf(node.derpport, pem)).toBe(200)
})

test('keeps its key and certificate from one start to the next', async () => {
  using folder = new TemporaryFolder()
  const read = (): string[] =>
    ['derper.key', 'localhost.crt', 'localhost.key'].map((name) =>
      readFileSync(folder.at(`own/${name}`), 'utf8'),
    )
  await using first = await start(folder, '-state-dir', 'own')
  const made = read()
  await first.stop()
  await using second = await start(folder, '-state-dir', 'own')
  expect(read()).toEqual(made)
  expect(second.output).not.toContain('note: created')
  expect(pastedNode(second.output).certname).toBe(pastedNode(first.output).certname)
})

test('refuses public addresses as serve does', async () => {
  using folder = new TemporaryFolder()
  const { code, stderr } = await derpfleetProcess(['serve', '-quick-start', '-a', ':443'], {
    cwd: folder.path,
  })
  expect([code, stderr]).toEqual([1, expect.stringContaining(':443 is not loopback')])
})

test('map -quick-start prints its node with its default ports and state folder', async () => {
  using folder = new TemporaryFolder()
  const args = ['map', '-quick-start', '-format', 'json']
  const env = { DERPFLEET_STATE_DIR: folder.at('mine') }
  const { code, stdout, stderr } = await derpfleet(args, env)
  expect(code).toBe(0)
  expect(stderr).toContain(folder.at('mine/localhost.crt'))
  expect(JSON.parse(stdout).Regions['900'].Nodes).toEqual([
    { Name: '900a', RegionID: 900, HostName: 'localhost', IPv4: '127.0.0.1', STUNPort: 3478, DERPPort: 8443 },
  ])
})
