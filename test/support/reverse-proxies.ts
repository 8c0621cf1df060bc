// Reverse proxies in front of a relay's plain port: nginx and HAProxy with the examples of docs/behind-a-proxy.md as
// their configuration, and Go's. Proxies that are not on this machine are named and left out.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { freePort, runOk, startProcess, type RunningProcess } from './process.ts'

export type ProxyName = 'nginx' | 'haproxy' | 'go'

/** Folder, ports and certificate of a proxy. */
interface Site {
  readonly folder: string
  readonly port: number
  readonly relayPort: number
  readonly certificatePath: string
  readonly keyPath: string
  /** Lines of the example that contain one of these texts are left out; nginx only. */
  readonly without?: readonly string[]
}

const PAGE = new URL('../../docs/behind-a-proxy.md', import.meta.url)
const GO_SOURCE = new URL('../integration/reverse-proxy/main.go', import.meta.url)

/** The proxies on this machine; names the others on standard error. */
export function installedProxies(): ProxyName[] {
  return (['nginx', 'haproxy', 'go'] as const).filter((name) => {
    const isHere = spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin command -v ${name}`]).status === 0
    if (!isHere) process.stderr.write(`SKIPPING tests behind ${name}: not on this machine\n`)
    return isHere
  })
}

export interface Proxy extends AsyncDisposable {
  readonly port: number
}

/** Starts a proxy that serves TLS on a loopback port. */
export async function startProxy(name: ProxyName, wanted: Omit<Site, 'port'>): Promise<Proxy> {
  const site = { ...wanted, port: await freePort() }
  const [command, args] = await START[name](site)
  const running: RunningProcess = await startProcess(command, args, {
    env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` },
    readyWhen: async () => {
      const socket = connect({ host: '127.0.0.1', port: site.port })
      await once(socket, 'connect').finally(() => socket.destroy())
      return true
    },
  })
  return { port: site.port, [Symbol.asyncDispose]: async () => void (await running.stop()) }
}

const START: Readonly<Record<ProxyName, (site: Site) => Promise<[string, string[]]>>> = {
  nginx: (site) => {
    const lines = exampleOf('nginx').split('\n')
    const left = lines.filter((line) => !site.without?.some((text) => line.includes(text)))
    const example = adapted(left.join('\n'), [
      ['server 127.0.0.1:3340', `server 127.0.0.1:${site.relayPort}`],
      ['listen 443 ssl', `listen 127.0.0.1:${site.port} ssl`],
      ['/etc/ssl/derp1.example.com.crt', site.certificatePath],
      ['/etc/ssl/derp1.example.com.key', site.keyPath],
    ])
    const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (kind) => `${kind}_temp_path ${join(site.folder, kind)};`,
    )
    const path = join(site.folder, 'nginx.conf')
    const text = [
      'daemon off;',
      // Its workers need access to the test's folder.
      ...(process.getuid?.() === 0 ? ['user root;'] : []),
      `pid ${join(site.folder, 'nginx.pid')};`,
      'error_log stderr;',
      'events {}',
      `http { access_log off; ${places.join(' ')}\n${example}}`,
    ]
    writeFileSync(path, text.join('\n'))
    return Promise.resolve(['nginx', ['-e', 'stderr', '-p', site.folder, '-c', path]])
  },
  haproxy: (site) => {
    const pem = join(site.folder, 'haproxy.pem')
    writeFileSync(pem, readFileSync(site.certificatePath, 'utf8') + readFileSync(site.keyPath, 'utf8'))
    const example = adapted(exampleOf('haproxy'), [
      ['bind :443 ssl crt /etc/haproxy/derp1.example.com.pem', `bind 127.0.0.1:${site.port} ssl crt ${pem}`],
      ['127.0.0.1:3340', `127.0.0.1:${site.relayPort}`],
    ])
    const path = join(site.folder, 'haproxy.cfg')
    // The timeouts of Debian's haproxy.cfg.
    const defaults =
      'defaults\n    timeout connect 5000\n    timeout client 50000\n    timeout server 50000\n\n'
    writeFileSync(path, defaults + example)
    return Promise.resolve(['haproxy', ['-db', '-f', path]])
  },
  go: async (site) => [
    await builtGoProxy(),
    [`127.0.0.1:${site.port}`, site.certificatePath, site.keyPath, `http://127.0.0.1:${site.relayPort}`],
  ],
}

/** The example in the page's code block of this language. */
function exampleOf(language: string): string {
  const [, example] =
    new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'm').exec(readFileSync(PAGE, 'utf8')) ?? []
  if (example === undefined) throw new Error(`${PAGE.pathname} has no example for ${language}`)
  return example
}

/** The example with changes for the test. @throws Error if a text to replace does not occur */
function adapted(example: string, changes: readonly (readonly [from: string, to: string])[]): string {
  return changes.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`the example has no "${from}"`)
    return text.replace(from, to)
  }, example)
}

/** Builds Go's proxy once per version of its source, into the cache outside the repository. */
async function builtGoProxy(): Promise<string> {
  const source = readFileSync(GO_SOURCE)
  const folder = process.env['DERPFLEET_CACHE'] ?? join(homedir(), '.cache/derpfleet/bin')
  const version = createHash('sha256').update(source).digest('hex').slice(0, 12)
  const path = join(folder, `reverse-proxy-${version}`)
  if (existsSync(path)) return path
  mkdirSync(folder, { recursive: true })
  const unfinished = `${path}.${process.pid}`
  await runOk('go', ['build', '-o', unfinished, GO_SOURCE.pathname], {
    env: { CGO_ENABLED: '0' },
    timeoutMs: 170_000,
  })
  renameSync(unfinished, path)
  return path
}
