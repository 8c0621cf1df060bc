// Operators' input, and input from others on their behalf: maps, regions, configuration files, command lines, environments.
// It is not hostile, but a wrong byte must give a problem and never a crash.

import { writeFileSync } from 'node:fs'
import { readConfigFile } from '#config/config-file.ts'
import { readDerpMap } from '#fleet/derp-map-reader.ts'
import { derpMapText } from '#fleet/derp-map-writer.ts'
import { fileMap } from '#fleet/live-map.ts'
import { derpPortOf } from '#fleet/node.ts'
import { OPTIONS } from '#config/options.ts'
import { problemText, type Problem } from '#fleet/problem.ts'
import { readSettings } from '#config/read-settings.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { resolveSettings } from '#config/resolve-settings.ts'
import { ConfigFixture } from '../../config/config-fixture.ts'
import { invariant, texts, type FuzzTarget } from '../target.ts'

/** Longer than real input; YAML's check for repeated keys takes quadratic time. */
const INPUT_BYTES_MAX = 3_000

/** The kinds of problems, without their values, so that there are a few hundred outcomes. */
function kindsOf(problems: readonly Problem[]): string {
  for (const problem of problems) {
    const text = problemText(problem)
    invariant(text.length > 0 && text.length < 100_000, 'a problem text that is too long')
  }
  return problems
    .slice(0, 4)
    .map(
      ({ found, expected }) =>
        `${found.replaceAll(/["'][^]*["']|\d+/g, '_').slice(0, 40)} ${expected.slice(0, 20)}`,
    )
    .join('; ')
}

const derpMap: FuzzTarget = {
  name: 'derp-map',
  inputBytesMax: INPUT_BYTES_MAX,
  corpus: texts(
    '{"Regions":{"900":{"RegionID":900,"RegionCode":"a","Nodes":[{"Name":"900a","RegionID":900,"HostName":"h.example"}]}}}',
    '{"derpMap":{"Regions":{"1":{"Nodes":[{"Name":"1","HostName":"h","IPv4":"none","STUNPort":-1,"DERPPort":443}]}}}}',
    'regions:\n  900:\n    regionid: 900\n    nodes:\n      - name: a\n        hostname: h\n        ipv6: "::1"\n',
    '{"Regions":null}',
  ),
  tokens: [
    '"Nodes":',
    '"RegionID":',
    '"IPv4":',
    'none',
    '"CertName":"sha256-raw:',
    '&a ',
    '*a',
    '<<: ',
    '!!js ',
    '- ',
  ],
  attempt(input) {
    const map = readDerpMap(input.toString('utf8'))
    if ('fault' in map) return map.fault.replaceAll(/["'][^]*["']|\d+/g, '_').slice(0, 60)
    for (const { id, nodes } of map.regions) {
      invariant(Number.isInteger(id) && id >= 1, `region ${id}`)
      for (const node of nodes)
        invariant(derpPortOf(node) >= 1 && derpPortOf(node) <= 65_535, `port ${node.derpPort}`)
    }
    return `${map.regions.length} ${kindsOf(map.problems)}`
  },
}

const regions: FuzzTarget = {
  name: 'regions-file',
  inputBytesMax: INPUT_BYTES_MAX,
  corpus: texts(
    'regions:\n  900:\n    code: fra\n    name: Frankfurt\n    latitude: 50.1\n    longitude: 8.7\n    nodes:\n' +
      '      - name: 900a\n        hostname: a.example\n        ipv4: 192.0.2.1\n        derpport: 443\n' +
      '  901:\n    code: nyc\n    nodes:\n      - name: 901a\n        hostname: b.example\n        canport80: true\n',
    `regions:\n  900:\n    code: a\n    state: draining\n    preferWithinMs: 20\n    nodes:\n      - { name: a, hostname: h, pin: ${'ab'.repeat(32)}, standby: true }\n  901: { code: b, state: off, nodes: [{ name: b, hostname: h }] }\n`,
    'regions: {}\n',
    'regions: &a\n  900: *a\n',
  ),
  tokens: [
    'regions:',
    'nodes:',
    'hostname:',
    'mesh:',
    'state: off',
    'preferWithinMs: ',
    'standby: ',
    '&a ',
    '*a',
    '<<: *a',
    '!!binary ',
    '---\n',
    '? ',
    '- - ',
  ],
  attempt(input) {
    const file = readRegionsFile('regions.yaml', input.toString('utf8'))
    if ('problems' in file && file.problems !== undefined) return kindsOf(file.problems)
    if (!('regions' in file)) return 'neither'
    const map = readDerpMap(derpMapText('json', fileMap(file.regions)))
    invariant('regions' in map && map.regions.length > 0, 'a valid file without a map')
    invariant(map.problems.length === 0, `a map with a problem: ${JSON.stringify(map.problems[0])}`)
    return `${file.regions.length} ${file.warnings.length}`
  },
}

const yamlConfig: FuzzTarget = {
  name: 'config-file',
  inputBytesMax: INPUT_BYTES_MAX,
  corpus: texts(
    'listen: 127.0.0.1:8443\nhostname: localhost\ncertmode: manual\nthreads: 2\nstun: false\nopen-relay: true\n',
    '# nothing\n',
    'mesh-with: [a.example, b.example]\noutbox-bytes: 1MiB\ntcp-write-timeout: 1h2m\ntls-max-version: 1.3\n',
    'listen: &a ":443"\nadmin: *a\n',
  ),
  tokens: ['admin: ', 'off', 'key-file: ', '&a ', '*a', '<<: ', '!!str ', '|\n', '"', '- ', '? '],
  attempt(input) {
    const { values, problems } = readConfigFile(OPTIONS, 'derpfleet.yaml', input.toString('utf8'))
    return `${[...values.keys()].sort().join()} ${kindsOf(problems)}`.slice(0, 200)
  },
}

let fixture: ConfigFixture | undefined
const open = async (): Promise<void> => {
  fixture = new ConfigFixture()
}
const close = async (): Promise<void> => fixture?.[Symbol.dispose]()

function resolved(args: readonly string[], env: Record<string, string> = {}): string {
  if (fixture === undefined) throw new Error('not opened')
  const outcome = resolveSettings(readSettings(args, env), fixture.host)
  return 'problems' in outcome ? kindsOf(outcome.problems) : `good ${outcome.settings.warnings.length}`
}

/** Words of the command line; none that names a file of this machine. */
const FLAG_TOKENS =
  '-a\0 -hostname\0 -threads\0 -stun-port\0 -mesh-with\0 -mesh-dns\0 -nats-url\0 -home\0 -verify-client-url\0 ' +
  '-admin=off\0 -tls-max-version\0 -outbox-bytes\0 -log-level\0 -region\0 127.0.0.1:0 [::1]:443 :https +Inf 1h 512KiB ' +
  'http:// nats:// @ = -- -'

const commandLine: FuzzTarget = {
  name: 'command-line',
  inputBytesMax: INPUT_BYTES_MAX,
  corpus: texts(
    '-a\x00127.0.0.1:0\0-stun=false\0-http-port\x00-1',
    '-a\0:8443\0-open-relay\0-hostname\0localhost\0-certmode\0manual',
    '--mesh-with=a.example,b.example@192.0.2.1\0-tcp-write-timeout=1m\0-outbox-bytes=1MiB',
    '-verify-client-url=https://h.example/verify\0-verify-client-url-fail-open\0-rebalance=5',
  ),
  tokens: FLAG_TOKENS.split(' '),
  open,
  close,
  attempt(input) {
    const args = input.toString('utf8').split('\0')
    return resolved(['-c', fixture?.keyPath ?? '', ...args.filter((arg) => !arg.includes('/dev'))])
  },
}

const environment: FuzzTarget = {
  name: 'environment',
  inputBytesMax: INPUT_BYTES_MAX,
  corpus: texts(
    'DERPFLEET_THREADS=2\nDERP_ADDR=:443\nDERP_DOMAIN=h',
    'DERPFLEET_STUN_PORT=udp://10.0.0.1:3478',
  ),
  tokens: ['DERPFLEET_', 'DERP_', 'THREADS=', 'HOSTNAME=', 'ADMIN=off', 'MESH_PSK=', 'KEY=', '\n'],
  open,
  close,
  attempt(input) {
    const lines = input.toString('utf8').split('\n')
    const pairs = lines.map((line) => [line.split('=')[0] ?? '', line.slice(line.indexOf('=') + 1)] as const)
    const env = Object.fromEntries(
      pairs.filter(([name, value]) => !/FILE|DIR|SOCKET|CONFIG/.test(name) && value !== ''),
    )
    return resolved(['-c', fixture?.keyPath ?? '', '-a', '127.0.0.1:0'], env)
  },
}

const rateFile: FuzzTarget = {
  name: 'rate-config',
  inputBytesMax: INPUT_BYTES_MAX,
  corpus: texts(
    '{"PerClientRateLimitBytesPerSec":100000,"PerClientRateBurstBytes":200000}',
    '{}',
    '[]',
    'null',
  ),
  tokens: [
    '"PerClientRateLimitBytesPerSec":',
    '"PerClientRateBurstBytes":',
    '1e308',
    '-1',
    '9007199254740993',
  ],
  open,
  close,
  attempt(input) {
    const path = fixture?.folder.at('rate.json') ?? ''
    writeFileSync(path, input)
    return resolved(['-c', fixture?.keyPath ?? '', '-a', '127.0.0.1:0', '-rate-config', path])
  },
}

export const SETTINGS_TARGETS: readonly FuzzTarget[] = [
  derpMap,
  regions,
  yamlConfig,
  commandLine,
  environment,
  rateFile,
]
