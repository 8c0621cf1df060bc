// The commands of the pages in docs, run as written, page by page, beside a relay that the pages' host names lead to: with network,
// /etc and /var/lib in namespaces of their own. README's commands have a test of their own, and those of the runbooks run
// in test/deploy/monitoring.test.ts.

import { spawnSync } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { derpfleet } from './cli/program.ts'
import { TemporaryFolder } from './config/temporary-folder.ts'
import { issueCertificate, makeAuthority } from './support/certificate.ts'
import { blocksOf, isCommands, PAGES, PROJECT, scriptOf, type Block } from './support/command-blocks.ts'
import { runProcess } from './support/process.ts'
import { PROGRAM } from './support/program-path.ts'

const ELSEWHERE = /^README\.md$|^docs\/runbooks\//
const PAGES_HERE = PAGES.filter(
  (path) =>
    !ELSEWHERE.test(path) && blocksOf(path).some((one) => isCommands(one) && one.reason === undefined),
)
const LOOKS_LIKE_COMMANDS = /^(\$ |(bin\/)?derpfleet |npm |node |curl |docker )/m
/** Commands that run until they are stopped, and what they print when they do what they are for. */
const LASTING = /^derpfleet (serve|map watch)/m
const IS_RUNNING = '"event":"relay_started"|[0-9] regions, [0-9] nodes'
/** These say with 1 or 2 that something is not well, which is so with most of the examples. */
const MAY_FIND_SOMETHING =
  /^derpfleet (?:doctor|probe|nearest|healthcheck|status -short|config check .*-threads many).*\n/gm
/** Example output that is always the same, up to a line with an ellipsis. */
const SAME_OUTPUT = /^\$ derpfleet (config check|render)/

const HOSTS = {
  '203.0.113.7': 'derp1.example.com',
  '192.0.2.1': 'derp1.fra.example.com',
  '198.51.100.1': 'derp1.nyc.example.com',
  '10.0.0.2': 'admin2.example.com',
  '10.0.0.5': 'admin5.example.com',
}
const REGIONS = 'regions: { 900: { code: fra, nodes: [{ name: 900a, hostname: derp1.example.com }] } }\n'
const SETTINGS = `hostname: derp1.example.com
key-file: /var/lib/derpfleet/derper.key
admin: ":9090"
open-relay: true
serve-map: true
regions-file: /etc/derpfleet/regions.yaml
mesh-psk-file: /etc/derpfleet/fleet.key
map-key-file: map.key
`

const HAS_NAMESPACES =
  spawnSync('unshare', ['--net', '--mount', 'ip', 'link', 'set', 'lo', 'up']).status === 0
const HAS_TOOLS = ['bash', 'curl', 'jq', 'openssl'].every(
  (name) => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0,
)
if (!HAS_NAMESPACES || !HAS_TOOLS)
  process.stderr.write(
    'SKIPPING the commands of docs: they need root on Linux, ip, bash, curl, jq and openssl\n',
  )

/** The relay is started before the first command that may need it, and anew when its files have changed. */
const FUNCTIONS = `set -u
unset STATE_DIRECTORY
ip link set lo up
relay=
stop() { [ -z "$1" ] || { kill -INT -- "-$1"; wait "$1"; } 2>/dev/null; }
start() {
  setsid sh -eu "$1" >"$1.out" 2>&1 & started=$!
  for look in $(seq 150); do
    grep -qE '${IS_RUNNING}' "$1.out" && return 0
    kill -0 "$started" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
}
need_relay() {
  if [ -n "$relay" ] && { [ map.key -nt relay.sh ] || [ /etc/derpfleet/derpfleet.yaml -nt relay.sh ] || ! kill -0 "$relay" 2>/dev/null; }
  then stop "$relay"; relay=; fi
  [ -z "$relay" ] || return 0
  echo 'derpfleet serve -config /etc/derpfleet/derpfleet.yaml' >relay.sh
  start ./relay.sh || cat relay.sh.out >&2
  relay=$started
  cp /etc/derpfleet/verbs.token . && echo "Authorization: Bearer $(cat verbs.token)" >header.txt
}
run() { need_relay; sh -eu "$1" >"$1.out" 2>&1; echo "$1 $?"; }
watch() { need_relay; start "$1"; echo "$1 $?"; stop "$started"; }
serve() { stop "$relay"; relay=; start "$1"; echo "$1 $?"; stop "$started"; }
`

/** Files with a path in their first line are there from then on. */
function stepOf(block: Block, path: string, folder: TemporaryFolder): string {
  const [, named] = /^# (\S+\.yaml)\n/.exec(block.code) ?? []
  if (named !== undefined) return `cp ${folder.write(`${path}.yaml`, block.code)} ${named}\n`
  if (!isCommands(block) || block.reason !== undefined) return ''
  const script = scriptOf(block).replace(MAY_FIND_SOMETHING, (line) => `{ ${line}} || [ $? -le 2 ]\n`)
  const file = folder.write(`${path}.sh`, script)
  const [, lasting] = LASTING.exec(script) ?? []
  // A relay that drains is still there for a moment after the command.
  const after = /^derpfleet drain/m.test(script) ? 'wait "$relay"; relay=\n' : ''
  return `${lasting === undefined ? 'run' : lasting === 'serve' ? 'serve' : 'watch'} ${file}\n${after}`
}

function nameOf(page: string): string {
  return page.replace(/.*\//, '').replace('.md', '')
}

function pageScript(page: string, folder: TemporaryFolder): string {
  const name = nameOf(page)
  const steps = blocksOf(page).map((block, at) => stepOf(block, `blocks/${name}-${at}`, folder))
  const etc = folder.at(`etc-${name}`)
  cpSync(folder.at('etc'), etc, { recursive: true, verbatimSymlinks: true })
  cpSync(folder.at('cwd'), folder.at(`cwd-${name}`), { recursive: true })
  // One page makes the key, and one replaces it.
  if (name === 'fleet') folder.write('cwd-fleet/mesh.key', `${randomBytes(32).toString('hex')}\n`)
  // The page says how to get a token.
  const own = name === 'commands' ? '' : 'verbs-token-file: /etc/derpfleet/verbs.token\n'
  folder.write(`etc-${name}/derpfleet/derpfleet.yaml`, SETTINGS + own)
  return `mount --bind ${etc} /etc
mount -t tmpfs tmpfs /var/lib && mkdir -m 700 /var/lib/derpfleet
cd ${folder.at(`cwd-${name}`)}
${steps.join('')}stop "$relay"; relay=
umount /var/lib /etc
`
}

/** What is in the folder in which the commands run, and in /etc. Returns the environment. */
async function makeFiles(folder: TemporaryFolder): Promise<Record<string, string>> {
  cpSync('/etc', folder.at('etc'), { recursive: true, verbatimSymlinks: true })
  const hosts = Object.entries(HOSTS).map(([address, name]) => `${address} ${name}\n`)
  folder.write('etc/hosts', `127.0.0.1 localhost\n${hosts.join('')}`, 0o644)
  folder.write('etc/derpfleet/regions.yaml', REGIONS)
  folder.write('etc/derpfleet/fleet.key', `${randomBytes(32).toString('hex')}\n`)
  folder.write('etc/derpfleet/verbs.token', `${randomBytes(32).toString('base64')}\n`)
  mkdirSync(folder.at('etc/derpfleet/certs'))
  mkdirSync(folder.at('authority'))
  const authority = await makeAuthority(folder.at('authority'), 'authority')
  const names = Object.values(HOSTS).join(',DNS:')
  const issued = await issueCertificate(folder.at('authority'), 'derp1.fra.example.com', authority, names)
  const [key, certificate] = [readFileSync(issued.keyPath, 'utf8'), readFileSync(issued.certPath, 'utf8')]
  folder.write('etc/derp/derp1.fra.example.com.key', key)
  folder.write('etc/derp/derp1.fra.example.com.crt', certificate)
  // The format of the ACME client, which would order none in this namespace.
  folder.write('cache/tailscale/derper-certs/derp1.example.com', key + certificate)
  const regions = ['-regions-file', folder.at('etc/derpfleet/regions.yaml')]
  const map = async (format: string): Promise<string> =>
    (await derpfleet(['map', '-all', '-format', format, ...regions])).stdout
  folder.write('cwd/derpmap.json', await map('json'))
  folder.write('cwd/derp.yaml', await map('headscale'))
  folder.write('etc/headscale/derp.yaml', await map('headscale'))
  const { privateKey } = generateKeyPairSync('ed25519')
  const mapKey = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  folder.write('cwd/map.key', mapKey)
  folder.write('cwd/relay.yaml', 'hostname: derp1.example.com\nopen-relay: true\ncertmod: manual\n')
  cpSync(`${PROJECT}regions.yaml`, folder.at('cwd/regions.yaml'))
  mkdirSync(folder.at('bin'))
  symlinkSync(PROGRAM, folder.at('bin/derpfleet'))
  const trust = { SSL_CERT_FILE: authority.certPath, CURL_CA_BUNDLE: authority.certPath }
  return { ...trust, XDG_CACHE_HOME: folder.at('cache'), PATH: `${folder.at('bin')}:${process.env['PATH']}` }
}

/** What comes after the command, and before an ellipsis. */
function exampleOutput(code: string): string {
  return code.replace(/^\$ .*\n/, '').replace(/^…\n[^]*/m, '')
}

describe('the commands of the documents', () => {
  it('are in blocks that say so, and can be run if they have no reason', () => {
    const all = PAGES.flatMap((page) => blocksOf(page).map((block) => ({ page, block })))
    const unnamed = all.filter(({ block }) => block.language === '' && LOOKS_LIKE_COMMANDS.test(block.code))
    expect(unnamed).toEqual([])
    const run = all.filter(({ block }) => isCommands(block) && block.reason === undefined)
    const cut = run.filter(({ block }) => /^[^#\n]*(…|<[a-z ]+>)/m.test(scriptOf(block)))
    expect(cut).toEqual([])
  })

  it.skipIf(!HAS_NAMESPACES || !HAS_TOOLS)('run as they are written', { timeout: 180_000 }, async () => {
    using folder = new TemporaryFolder()
    const env = await makeFiles(folder)
    const addresses = Object.keys(HOSTS).map((address) => `ip addr add ${address}/32 dev lo\n`)
    const pages = PAGES_HERE.map((page) => pageScript(page, folder))
    const path = folder.write('run.sh', `${FUNCTIONS}${addresses.join('')}${pages.join('')}`)
    const namespaces = ['--net', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child']
    const options = { env, timeoutMs: 170_000 }
    const { stdout, stderr } = await runProcess('unshare', [...namespaces, 'bash', path], options)
    const failed = [...stdout.matchAll(/^(\S+) ([1-9]\d*)$/gm)]
    const outputs = failed.map(
      ([line, file = '']) => `${line}\n${readFileSync(file, 'utf8')}${readFileSync(`${file}.out`, 'utf8')}`,
    )
    expect(outputs.join('\n'), stderr).toBe('')
    const files = readdirSync(folder.at('blocks')).filter((name) => name.endsWith('.sh'))
    expect([...stdout.matchAll(/^(\S+) \d+$/gm)]).toHaveLength(files.length)
    for (const page of PAGES_HERE) {
      for (const [at, { code }] of blocksOf(page).entries()) {
        if (!SAME_OUTPUT.test(code)) continue
        const output = readFileSync(join(folder.at('blocks'), `${nameOf(page)}-${at}.sh.out`), 'utf8')
        expect(output).toContain(exampleOutput(code))
      }
    }
  })
})
