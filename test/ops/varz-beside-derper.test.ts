// Compares /debug/varz with derper's own page: derper has every name of ours, with the same type, help and label values in
// the same order. Names that only derper has are not compared.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Varz } from '#ops/varz.ts'
import { makeCertificate } from '../support/certificate.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { type Relay, runOk, startRelay } from '../support/process.ts'
import { testSources } from './sources.ts'
import { parseClassic, type ParsedFamily } from './strict-exposition.ts'

const found = await foreignPrograms('derper-1.104.5')
const derper = 'paths' in found ? found.paths['derper-1.104.5'] : undefined

describe.skipIf(derper === undefined)('/debug/varz', () => {
  let folder: string
  let relay: Relay

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'varz-'))
    await makeCertificate(folder, 'localhost')
    const ratePath = join(folder, 'rate.json')
    const rate = { PerClientRateLimitBytesPerSec: 1_250_000, PerClientRateBurstBytes: 2_500_000 }
    await writeFile(ratePath, JSON.stringify(rate))
    relay = await startRelay({ command: derper ?? '', args: ['-rate-config', ratePath], folder })
  })

  afterAll(async () => {
    await relay?.[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  it("has derper's names, as derper has them", async () => {
    const url = `https://localhost:${relay.port}/debug/varz`
    const to = ['--resolve', `localhost:${relay.port}:127.0.0.1`]
    const theirs = namedOnly(parseClassic(plainLines(await runOk('curl', ['-sk', ...to, url]))))
    const ours = namedOnly(parseClassic((await new Varz(testSources()).page()).text))
    expect(ours.size).toBeGreaterThan(40)
    // derper has round trips only of clients that have been connected for ten seconds.
    ours.delete('derp_tcp_rtt')
    for (const [name, family] of ours) expect(shape(family)).toEqual(shape(theirs.get(name)))
    const rate = theirs.get('derp_rate_limit_per_client_bytes_per_second')
    expect(ours.get('derp_rate_limit_per_client_bytes_per_second')).toEqual(rate)
  })
})

/** The page without derper's extra comments and without the metrics of Go's client library. */
function plainLines(text: string): string {
  return text
    .split('\n')
    .filter((line) => !/^(?:# skipping|# TYPE derp_tcp_rtt|(?:# (?:HELP|TYPE) )?go_)/.test(line))
    .join('\n')
}

/** Leaves out the process metrics, which both programs take from their Prometheus libraries. */
function namedOnly(families: Map<string, ParsedFamily>): Map<string, ParsedFamily> {
  const own = [...families].filter(
    ([name]) => name === 'process_start_unix_time' || !name.startsWith('process_'),
  )
  return new Map(own)
}

function shape(family: ParsedFamily | undefined): unknown {
  if (family === undefined) return undefined
  // Versions in use and the program's own name differ from day to day.
  const isOpen = family.name === 'version' || family.name === 'derper_tls_active_version'
  const series = [...family.samples.keys()].map((key) => (isOpen ? key.replaceAll(/"[^"]*"/g, '""') : key))
  return { name: family.name, type: family.type, help: family.help, series: [...new Set(series)].sort() }
}
