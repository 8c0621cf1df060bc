// README's commands, run as written: in a folder that looks like the project's, with network, /etc and /var/lib in
// namespaces of their own and with the requirements that README names. A block that can't run has a comment above it with
// the reason.

import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, utimesSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { TemporaryFolder } from './config/temporary-folder.ts'
import { issueCertificate, makeAuthority } from './support/certificate.ts'
import { blocksOf } from './support/command-blocks.ts'
import { runProcess } from './support/process.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const blocks = blocksOf('README.md').filter(({ language }) => language !== '')

/** Commands that run until they are stopped, and what they print when they serve. */
const SERVER = /^npm start|^bin\/derpfleet serve/
const SERVING = 'Ctrl-C stops it|"event":"relay_started"'

const HAS_NAMESPACES =
  spawnSync('unshare', ['--net', '--mount', 'ip', 'link', 'set', 'lo', 'up']).status === 0
if (!HAS_NAMESPACES)
  process.stderr.write("SKIPPING README's commands: namespaces need root on Linux, and ip\n")

/** All blocks in sequence; a server is stopped when the next one starts. */
function script(folder: TemporaryFolder): string {
  const steps = blocks
    .filter(({ reason }) => reason === undefined)
    .map(({ code }, at) => {
      const path = folder.write(`blocks/${at}.sh`, code)
      return SERVER.test(code) ? `serve ${path}` : `sh -eu ${path} >${path}.out 2>&1; echo "${at} $?"`
    })
  return `set -u
ip link set lo up
ip addr add 203.0.113.7/24 dev lo
mount --bind ${folder.at('etc')} /etc
mount -t tmpfs tmpfs /var/lib
server=
stop() { [ -z "$server" ] || { kill "$server"; wait "$server"; }; server=; }
serve() {
  stop
  setsid sh -eu "$1" >"$1.out" 2>&1 & server=$!
  for second in $(seq 60); do grep -qE '${SERVING}' "$1.out" && break; sleep 0.5; done
  # The shell's child is the relay, or npm, which has started it.
  server=$(pgrep -s "$server" -f 'src/main.ts serve' | head -n 1)
  echo "$1 $(grep -cE '${SERVING}' "$1.out" | sed 's/^[1-9].*/0/;t;s/.*/1/')"
}
cd ${folder.at('project')}
mount --bind ${root}node_modules node_modules
mount -o remount,bind,ro node_modules
${steps.join('\n')}
stop
`
}

/** A folder with the content of the project's. Packages are mounted read-only and count as installed. */
function makeProject(folder: TemporaryFolder): void {
  mkdirSync(folder.at('project/node_modules'), { recursive: true })
  for (const name of readdirSync(root)) {
    if (['state', 'node_modules', 'package-lock.json'].includes(name)) continue
    symlinkSync(`${root}${name}`, folder.at(`project/${name}`))
  }
  utimesSync(folder.write('project/package-lock.json', ''), 0, 0)
}

/**
 * A copy of /etc with README's example host name; and a certificate for it in the cache folder, in the format of the ACME client,
 * which would order none in this namespace. Returns the path of the authority.
 */
async function makeEtc(folder: TemporaryFolder): Promise<string> {
  cpSync('/etc', folder.at('etc'), { recursive: true, verbatimSymlinks: true })
  folder.write('etc/hosts', '127.0.0.1 localhost\n::1 localhost\n203.0.113.7 derp1.example.com\n')
  mkdirSync(folder.at('authority'))
  const authority = await makeAuthority(folder.at('authority'), 'authority')
  const issued = await issueCertificate(folder.at('authority'), 'derp1.example.com', authority)
  const stored = readFileSync(issued.keyPath, 'utf8') + readFileSync(issued.certPath, 'utf8')
  folder.write('cache/tailscale/derper-certs/derp1.example.com', stored)
  return authority.certPath
}

describe('README', () => {
  it('has a reason for every command that is not run, and runs most of them', () => {
    const run = blocks.filter(({ reason }) => reason === undefined)
    expect(run.length).toBeGreaterThan(blocks.length / 2)
    expect(run.map(({ code }) => code).join('\n')).not.toMatch(/…|<[a-z ]+>/)
  })

  it.skipIf(!HAS_NAMESPACES)('has commands that run as they are written', { timeout: 120_000 }, async () => {
    using folder = new TemporaryFolder()
    makeProject(folder)
    const authority = await makeEtc(folder)
    const path = folder.write('run.sh', script(folder))
    chmodSync(path, 0o700)
    const env = { SSL_CERT_FILE: authority, XDG_CACHE_HOME: folder.at('cache') }
    const { stdout, stderr } = await runProcess(
      'unshare',
      ['--net', '--mount', '--pid', '--fork', '--mount-proc', 'sh', path],
      { env, timeoutMs: 110_000 },
    )
    const failed = stdout
      .trim()
      .split('\n')
      .filter((line) => !line.endsWith(' 0'))
    const outputs = readdirSync(folder.at('blocks'))
      .filter((name) => name.endsWith('.out'))
      .map((name) => `── ${name}\n${readFileSync(folder.at(`blocks/${name}`), 'utf8')}`)
    expect(failed, `${stderr}\n${outputs.join('\n')}`).toEqual([])
    expect(outputs).toHaveLength(blocks.filter(({ reason }) => reason === undefined).length)
    // The output that README describes.
    expect(outputs.join('\n')).toMatch(/\d+ ok, 0 failed/)
    expect(outputs.join('\n')).toContain('ready\n')
  })
})
