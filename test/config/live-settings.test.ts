import { NO_BUDGETS, NO_MONTH_RULE } from '#protocol/relay-limits.ts'
import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { newKeyPair } from '#client/derp-client.ts'
import {
  liveSettings,
  rereadSettings,
  type AcceptedSettings,
  type SettingsInUse,
  type SettingsSource,
} from '#config/live-settings.ts'
import { OPTIONS } from '#config/options.ts'
import type { Option } from '#config/option.ts'
import { readSettings } from '#config/read-settings.ts'
import { resolveSettings } from '#config/resolve-settings.ts'
import { problemText } from '#fleet/problem.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { ConfigFixture } from './config-fixture.ts'

/** A relay's settings, read from a file that a test replaces. */
class Rereader extends ConfigFixture {
  readonly #source: SettingsSource
  inUse: SettingsInUse

  constructor(text: string, args: readonly string[] = [], env: Record<string, string> = {}) {
    super()
    this.write(text)
    const all = ['-c', this.keyPath, '-a', '127.0.0.1:3340', '-config', this.folder.at('relay.yaml'), ...args]
    const read = (): ReturnType<typeof readSettings> => readSettings(all, env)
    this.#source = { read, host: () => this.host, startProblems: () => [] }
    const raw = read()
    const resolution = resolveSettings(raw, this.host)
    if (!('settings' in resolution)) throw new Error(resolution.problems.map(problemText).join('\n'))
    this.inUse = { raw, settings: resolution.settings }
  }

  write(text: string): void {
    this.folder.write('relay.yaml', text)
  }

  reread(text: string): AcceptedSettings {
    this.write(text)
    const result = rereadSettings(this.#source, this.inUse)
    if ('problems' in result) throw new Error(result.problems.map(problemText).join('\n'))
    this.inUse = result.inUse
    return result
  }

  refusals(text?: string): readonly string[] {
    if (text !== undefined) this.write(text)
    const result = rereadSettings(this.#source, this.inUse)
    if (!('problems' in result)) throw new Error('accepted')
    return result.problems.map(problemText)
  }
}

test('nothing changes if the text means the same', () => {
  using relay = new Rereader('outbox-bytes: 524288\n')
  expect(relay.reread('# a comment\noutbox-bytes: 512KiB\n')).toMatchObject({
    changed: [],
    needsRestart: [],
    warnings: [],
  })
})

test('every option that a reload applies is applied, and named with its old and new value', () => {
  using relay = new Rereader('log-level: warn\n')
  const rate = relay.folder.write('rate.json', '{"PerClientRateLimitBytesPerSec": 70000}')
  const text = `
accept-connection-limit: 5
accept-connection-burst: 7
rate-config: ${rate}
outbox-bytes: 1MiB
outbox-packets: 9
waiting-bytes: 32MiB
keepalive: 20s
tcp-user-timeout: 9s
tcp-write-timeout: 3s
verify-client-url: http://127.0.0.1:1/verify?token=secret
verify-client-url-fail-open: true
disallow-app-names: a,b
home: blank
bootstrap-dns-names: example.com
log-level: debug
rebalance: 3
serve-map: true
map-removal: 30s
map-return: 50s
drain-settle: 2s
`
  const { changed, needsRestart } = relay.reread(text)
  expect(needsRestart).toEqual([])
  expect(changed).toHaveLength(Object.keys(parse(text)).length)
  expect(changed).toContain('-outbox-bytes: the default (512KiB), now "1MiB"')
  expect(changed).toContain('-log-level: "warn", now "debug"')
  expect(changed.join('\n')).not.toContain('secret')
  expect(liveSettings(relay.inUse.settings)).toMatchObject({
    limits: {
      outboxBytesMax: 1_048_576,
      outboxPacketsMax: 9,
      waitingBytesMax: 33_554_432,
      writeTimeoutMs: 3_000,
      rate: { bytesPerSecond: 70_000 },
      budgets: NO_BUDGETS,
      month: NO_MONTH_RULE,
      addresses: expect.objectContaining({ connectionsPerSecond: Infinity, banMs: 600_000 }),
      acceptsPerSecond: 5,
      acceptBurst: 7,
      keepAlive: { minMs: 15_000, maxMs: 20_000 },
      tcpUserTimeoutMs: 9_000,
    },
    admission: { isOpen: false, verifyUrlFailOpen: true },
    disallowedAppNames: ['a', 'b'],
    home: { kind: 'blank' },
    bootstrapDnsNames: ['example.com'],
    logLevel: 'debug',
    rebalancePerSecond: 3,
    isMapServed: true,
    mapHoldDowns: { removalMs: 30_000, returnMs: 50_000 },
    drain: { settleMs: 2_000 },
  })
  // The content of a file that is named as before.
  writeFileSync(rate, '{"PerClientRateLimitBytesPerSec": 80000}')
  expect(relay.reread(text).changed).toEqual(['-rate-config: the file has other content'])
  expect(relay.reread('log-level: warn\n').changed).toHaveLength(changed.length)
  expect(relay.inUse.settings.limits.rate).toBeUndefined()
})

test('no option is forgotten: those that are not applied need a restart', () => {
  const live = Object.entries<Option>(OPTIONS).filter(([, { reload }]) => reload === 'value')
  expect(live.map(([name]) => name)).toEqual(
    expect.arrayContaining(['log-level', 'rate-config', 'verify-clients', 'open-relay', 'socket']),
  )
  using relay = new Rereader('')
  expect(
    relay.reread('threads: 7\nhostname: a.example\nadmin: 127.0.0.1:1\nstun: false\n').needsRestart,
  ).toEqual([
    '-stun: the default (true), now "false"',
    '-admin: the default (127.0.0.1:9090), now "127.0.0.1:1"',
    '-hostname: the default (required with TLS, else localhost), now "a.example"',
    expect.stringContaining('-threads: the default ('),
  ])
  // Until the restart they are named at each reload; the values in use are those of the start.
  expect(relay.inUse.settings).toMatchObject({ hostname: 'localhost', threadCount: 2 })
  expect(relay.reread('threads: 7\nlog-level: warn\n')).toMatchObject({
    changed: ['-log-level: the default (info), now "warn"'],
    needsRestart: [expect.stringContaining('-threads')],
  })
  expect(relay.reread('').needsRestart).toEqual([])
})

test('files that are read at the start alone need a restart for other content', () => {
  using relay = new Rereader('')
  writeFileSync(relay.keyPath, formatKeyFile(newKeyPair()))
  expect(relay.reread('').needsRestart).toEqual(['-c: the file has other content'])
})

test('flags and environment take precedence, as at the start', () => {
  using relay = new Rereader('log-level: warn\nkeepalive: 20s\n', ['-log-level', 'error'], {
    DERPFLEET_KEEPALIVE: '30s',
  })
  expect(relay.reread('log-level: debug\nkeepalive: 40s\n').changed).toEqual([])
  expect(relay.inUse.settings).toMatchObject({ logLevel: 'error', limits: { keepAlive: { maxMs: 30_000 } } })
})

describe('a configuration that a start would refuse changes nothing, and all its problems are told', () => {
  test('in values, keys and files', () => {
    using relay = new Rereader('log-level: warn\n')
    const before = relay.inUse
    expect(relay.refusals('log-level: loud\nkeepaliv: 1s\nrate-config: /nowhere\nhome: nowhere\n')).toEqual([
      expect.stringContaining('relay.yaml:1: log-level: invalid value "loud"'),
      expect.stringContaining('relay.yaml:2: keepaliv: unknown key; did you mean keepalive?'),
      expect.stringContaining('relay.yaml:3: rate-config: /nowhere does not exist'),
      expect.stringContaining('relay.yaml:4: home: invalid value "nowhere"'),
    ])
    expect(relay.inUse).toBe(before)
  })

  test('in what needs a restart', () => {
    using relay = new Rereader('')
    expect(relay.refusals('log-level: debug\nthreads: 0\n')).toHaveLength(1)
  })

  test('in a policy that does not fit where the relay listens', () => {
    using relay = new Rereader('verify-client-url: http://127.0.0.1:1/\n', ['-a', '0.0.0.0:3340'])
    expect(relay.refusals('')).toEqual([expect.stringContaining('no admission policy is set')])
    expect(relay.reread('open-relay: true\n').inUse.settings.admission.isOpen).toBe(true)
  })

  test('by a file that is gone', () => {
    using relay = new Rereader('')
    rmSync(relay.keyPath)
    expect(relay.refusals('')).toEqual([`${relay.keyPath}: does not exist any more`])
    rmSync(relay.folder.at('relay.yaml'))
    expect(relay.refusals()).toEqual([
      expect.stringContaining('relay.yaml does not exist; expected a YAML file'),
    ])
  })

  test('by a file that is a pipe now, which is not opened', () => {
    using relay = new Rereader('')
    const pipe = relay.folder.at('pipe')
    execFileSync('mkfifo', [pipe])
    expect(relay.refusals(`rate-config: ${pipe}\n`)).toEqual([
      expect.stringContaining(`${pipe} is not a file; expected a file that can be read again`),
    ])
    rmSync(relay.folder.at('relay.yaml'))
    execFileSync('mkfifo', [relay.folder.at('relay.yaml')])
    // To open it would block for ever.
    expect(relay.refusals()).toEqual([expect.stringContaining('relay.yaml is not a file')])
  })
})

test('with -dev, whose key is new at each reading, nothing seems to have changed', () => {
  using relay = new Rereader('', ['-dev', '-open-relay'])
  expect(relay.reread('')).toMatchObject({ changed: [], needsRestart: [] })
})

test('a warning that there was before is not repeated', () => {
  using relay = new Rereader('region: 901\n')
  expect(relay.inUse.settings.warnings).toHaveLength(1)
  expect(relay.reread('region: 901\nlog-level: warn\n').warnings).toEqual([])
  expect(relay.reread('region: 901\nverify-client-url-fail-open: true\n').warnings).toEqual([
    expect.stringContaining('verify-client-url-fail-open: has no effect'),
  ])
})
