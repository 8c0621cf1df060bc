// The doctor's judgement of a host, from settings of the kernel as /proc has them.

import { expect, it } from 'vitest'
import { hostFacts } from '#control/host-facts.ts'
import { hostFindings } from '#doctor/host-findings.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'

/** Checks that are not ok, with their status. */
function wrongIn(settings: Readonly<Record<string, string>>): readonly string[] {
  using folder = new TemporaryFolder()
  for (const [name, value] of Object.entries(settings)) folder.write(name, `${value}\n`)
  const { descriptorsMax: _max, descriptorsUsed: _used, ...facts } = hostFacts(folder.path)
  const findings = hostFindings({ ...facts, descriptorsMax: 65_536, descriptorsUsed: 100 })
  return findings.flatMap(({ check, status }) => (status === 'ok' ? [] : [`${check} ${status}`]))
}

const SOUND = {
  'core/somaxconn': '4096',
  'ipv4/tcp_notsent_lowat': '4294967295',
  'netfilter/nf_conntrack_count': '100',
  'netfilter/nf_conntrack_max': '262144',
}

it.each<[Readonly<Record<string, string>>, readonly string[]]>([
  [SOUND, []],
  [{ ...SOUND, 'netfilter/nf_conntrack_count': '200000' }, ['conntrack warn']],
  [{ ...SOUND, 'netfilter/nf_conntrack_count': '262144' }, ['conntrack fail']],
  [{ ...SOUND, 'core/somaxconn': '128' }, ['somaxconn warn']],
  [{ ...SOUND, 'ipv4/tcp_notsent_lowat': '1' }, ['notsent-lowat warn']],
  [{ ...SOUND, 'ipv4/tcp_notsent_lowat': '131072' }, []],
  [{}, ['somaxconn skip', 'notsent-lowat skip']],
])('%o', (settings, expected) => {
  expect(wrongIn(settings)).toEqual(expected)
})

it.each([
  [20_000, 100, 'ok'],
  [1_024, 100, 'warn'],
  [20_000, 16_001, 'fail'],
  [20_000, undefined, 'fail'],
  [undefined, 100, 'skip'],
])('of %s descriptors, %s in use', (descriptorsMax, descriptorsUsed, status) => {
  expect(hostFindings({ descriptorsMax, descriptorsUsed })[0]?.status).toBe(status)
})
