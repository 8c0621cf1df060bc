import { NO_BUDGETS, NO_MONTH_RULE } from '#protocol/relay-limits.ts'
import { expect, test } from 'vitest'
import { goodPair, writePair } from './certificates.ts'
import { KEY_PAIR, ConfigFixture } from './config-fixture.ts'

/** The minimum that starts: a plain relay on loopback. */
function plain(fixture: ConfigFixture): string[] {
  return ['-c', fixture.keyPath, '-a', '127.0.0.1:3340']
}

test("accepts derper's command line", () => {
  using fixture = new ConfigFixture()
  writePair(fixture.folder, 'localhost', goodPair('localhost'))
  const psk = fixture.folder.write('mesh.key', `${'AB'.repeat(32)}\n`)
  const line =
    `-c ${fixture.keyPath} -a 127.0.0.1:3443 --hostname localhost -certmode=manual -certdir ${fixture.folder.path} ` +
    `-http-port -1 -stun-port 3478 -mesh-psk-file ${psk} --verify-client-url=http://127.0.0.1:8090/verify ` +
    '-accept-connection-limit 100 -accept-connection-burst 20 -tcp-write-timeout 3s -home blank ' +
    '-bootstrap-dns-names a.example,b.example -disallow-app-names bad -mesh-with derp1.lab,derp2.lab:8443/10.0.0.2'
  const settings = fixture.settings(line.split(' '))
  expect(settings).toEqual({
    nodeKey: KEY_PAIR,
    meshKeys: [new Uint8Array(32).fill(0xab)],
    meshKeyPath: psk,
    mesh: {
      siblings: [
        { name: 'derp1.lab', host: 'derp1.lab', port: 443, isInside: true, isWatched: true, nodes: [] },
        {
          name: 'derp2.lab:8443/10.0.0.2',
          host: 'derp2.lab',
          port: 8_443,
          dialHost: '10.0.0.2',
          isInside: true,
          isWatched: true,
          nodes: [],
        },
      ],
      dnsNames: [],
      regions: [],
      mapHoldDowns: { removalMs: 60_000, returnMs: 120_000 },
      isMapServed: false,
      stateEveryMs: 5_000,
      rebalancePerSecond: 0,
    },
    stateFolder: expect.stringContaining(fixture.host.stateFolder),
    derp: { host: '127.0.0.1', port: 3443 },
    http: undefined,
    stun: { host: '127.0.0.1', port: 3478 },
    admin: { host: '127.0.0.1', port: 9090 },
    adminNames: [],
    isStatusPublic: false,
    hostname: 'localhost',
    isTls: true,
    certificate: {
      certificatePath: fixture.folder.at('localhost.crt'),
      keyPath: fixture.folder.at('localhost.key'),
    },
    tlsMaxVersion: 'TLSv1.3',
    isDerpEnabled: true,
    threadCount: 2,
    native: 'auto',
    pollIntervalMs: 1,
    connections: 'auto',
    drain: { settleMs: 1_000, spreadMs: 5_000, scrapeWaitMs: 1_000 },
    measure: { countries: true, isRankingServed: false, capacityBits: undefined },
    admission: {
      isOpen: false,
      verifyUrl: 'http://127.0.0.1:8090/verify',
      verifyUrlFailOpen: false,
      tailscaledSocket: undefined,
      allowKeysPath: undefined,
      isolatesTenants: false,
      lease: undefined,
      graceMs: 86_400_000,
      trustsSiblings: false,
      recheckMs: 300_000,
      kicksFrom: [],
    },
    disallowedAppNames: ['bad'],
    limits: {
      outboxBytesMax: 524_288,
      outboxPacketsMax: Infinity,
      memoryBytesMax: 966_367_641,
      waitingBytesMax: 268_435_456,
      writeTimeoutMs: 3_000,
      rate: undefined,
      budgets: NO_BUDGETS,
      month: NO_MONTH_RULE,
      addresses: expect.objectContaining({ connectionsPerSecond: Infinity, banMs: 600_000 }),
      acceptsPerSecond: 100,
      acceptBurst: 20,
      keepAlive: { minMs: 60_000, maxMs: 65_000 },
      tcpKeepaliveMs: 600_000,
      tcpUserTimeoutMs: 15_000,
    },
    home: { kind: 'blank' },
    bootstrapDnsNames: ['a.example', 'b.example'],
    logLevel: 'info',
    shown: { keys: 'short', addresses: 'full' },
    warnings: [expect.stringContaining('localhost is self-signed')],
  })
  expect(Object.isFrozen(settings) && Object.isFrozen(settings.limits)).toBe(true)
})

test('writes nothing while it resolves', () => {
  using fixture = new ConfigFixture()
  const path = fixture.folder.at('new.key')
  const { newFiles } = fixture.plan(['-c', path, '-a', '127.0.0.1:3340'])
  expect(newFiles.map((file) => file.path)).toEqual([path])
  expect(fixture.problems(['-c', path, '-a', '127.0.0.1:3340'])).toEqual([])
})

test('reports all problems at once', () => {
  using fixture = new ConfigFixture()
  const config = fixture.folder.write('relay.yaml', 'threads: 0\nhome: nowhere\n')
  const args = [
    '-config',
    config,
    '-c',
    fixture.folder.at('none/derper.key'),
    '-stun=maybe',
    '-ace',
    '-mesh-with',
    'b',
  ]
  expect(
    fixture.problems(args, { DERP_VERIFY_CLIENT_URL: 'headscale' }).map((text) => text.split('; ')[0]),
  ).toEqual([
    `${config}:1: threads: invalid value 0`,
    '-stun: invalid value "maybe"',
    'DERP_VERIFY_CLIENT_URL: invalid value "headscale"',
    '-hostname: is not set',
    `-c: ${fixture.folder.at('none/derper.key')} cannot be created: its folder does not exist`,
    '-mesh-with: needs a mesh key',
    `${config}:2: home: invalid value "nowhere"`,
  ])
})

test.each([['-secrets-url', 'https://setec.lab']])('does not start with %s', (flag, value) => {
  using fixture = new ConfigFixture()
  expect(fixture.problems([...plain(fixture), flag, value])).toEqual([
    expect.stringMatching(new RegExp(`^${flag}: is not supported; \\w`)),
  ])
})

test.each([
  ['-ace', []],
  ['-secrets-path-prefix', ['p']],
  ['-secrets-cache-dir', ['d']],
  ['-unpublished-bootstrap-dns-names', ['a/b']],
])('starts with %s, but warns that it has no effect', (flag, value) => {
  using fixture = new ConfigFixture()
  expect(fixture.settings([...plain(fixture), flag, ...value]).warnings).toEqual([
    expect.stringMatching(new RegExp(`^${flag}: is not supported; \\w`)),
  ])
})

test("does not warn of unsupported options at derper's default", () => {
  using fixture = new ConfigFixture()
  const args = ['-ace=false', '-mesh-with=', '-acme-ip-certs=false', '-acme-email', '']
  expect(fixture.settings([...plain(fixture), ...args]).warnings).toEqual([])
})

test.each([
  ['', { kind: 'page' }],
  ['blank', { kind: 'blank' }],
  ['https://example.com/', { kind: 'redirect', url: 'https://example.com/' }],
])('the home page %j is %j', (text, home) => {
  using fixture = new ConfigFixture()
  expect(fixture.settings([...plain(fixture), '-home', text]).home).toEqual(home)
})

test.each([
  ['-home', 'nowhere', 'expected blank, or a URL that starts with http:// or https://'],
  ['-hostname', 'http://derp.example', 'expected the public host name or IP address of this relay'],
  ['-hostname', '-certmode', 'expected the public host name or IP address of this relay'],
  ['-disallow-app-names', 'a,naïve', 'expected up to 32 printable ASCII characters'],
  ['-disallow-app-names', 'x'.repeat(33), 'expected up to 32 printable ASCII characters'],
])('refuses %s %s', (flag, value, expected) => {
  using fixture = new ConfigFixture()
  expect(fixture.problems([...plain(fixture), flag, value])).toEqual([expect.stringContaining(expected)])
})

test('requires no host name without TLS, and uses all cores', () => {
  using fixture = new ConfigFixture()
  const settings = fixture.settings(plain(fixture), {}, { coreCount: 5 })
  expect([settings.hostname, settings.threadCount]).toEqual(['localhost', 5])
})

test('starts as many threads as it is told, and warns of more than there are processors for', () => {
  using fixture = new ConfigFixture()
  const withThreads = (threads: string, coreCount: number): readonly [number, readonly string[]] => {
    const { threadCount, warnings } = fixture.settings(
      [...plain(fixture), '-threads', threads],
      {},
      { coreCount },
    )
    return [threadCount, warnings.filter((warning) => warning.includes('-threads'))]
  }
  expect(withThreads('2', 2)).toEqual([2, []])
  expect(withThreads('3', 2)).toEqual([3, [expect.stringContaining('may use 2 processors')]])
})

test('limits TLS to 1.2 if -tls-max-version is 1.2', () => {
  using fixture = new ConfigFixture()
  expect(fixture.settings([...plain(fixture), '-tls-max-version', '1.2']).tlsMaxVersion).toBe('TLSv1.2')
})

test.each([
  [['-a', 'localhost']],
  [['-a', '8443']],
  [['-a', ':443', '-certmode', 'manaul']],
  [['-a', ':8443', '-dev=maybe']],
])('%j gives no further problems of its default', (args) => {
  using fixture = new ConfigFixture()
  expect(fixture.problems(['-c', fixture.keyPath, '-open-relay', '-hostname', 'a.example', ...args])).toEqual(
    [expect.stringContaining('invalid value')],
  )
})

test.each([
  [['-a', '0.0.0.0:3340', '-verify-client-url', 'headscale']],
  [['-a', '0.0.0.0:3340', '-verify-clients=yes']],
  [['-a', '0.0.0.0:3340', '-open-relay=yes']],
  [['-a', '0.0.0.0']],
  [['-a', '127.0.0.1:9090', '-admin', 'localhost', '-http-port', 'x']],
])('%j gives no further problems about admission or a shared port', (args) => {
  using fixture = new ConfigFixture()
  const problems = fixture.problems(['-c', fixture.keyPath, ...args])
  expect(problems.filter((text) => !text.includes('invalid value'))).toEqual([])
})
