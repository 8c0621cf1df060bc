// `derpfleet doctor` on hosts of their own: two relays in two regions look at each other from outside, and a router stands
// between where a set-up needs one. Each set-up but the first is wrong on purpose.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { derpfleet } from '../cli/program.ts'
import { examinationOf, type Examination } from '../support/examination.ts'
import { Fleet, type FleetRelay } from '../support/fleet.ts'
import { Lab, type LabHost } from '../support/lab.ts'
import { canMakeNetworks } from '../support/network.ts'
import { makeVersion } from '../support/other-version.ts'
import { runOk, runProcess, startProcess } from '../support/process.ts'
import { PROGRAM } from '../support/program-path.ts'

const USERLAND_PROXY = join(import.meta.dirname, '../support/userland-proxy.ts')
const WRONG_CLOCK = new URL('../support/wrong-clock.ts', import.meta.url).href
/** Those of docker's first bridge and of its first container. */
const BRIDGE = '172.17.0.1'
const CONTAINER = '172.17.0.2'
/** Reachable from its host alone, as by default. */
const OWN = ['-admin', '127.0.0.1:9090']

const canMakeLab = await canMakeNetworks()
if (!canMakeLab) process.stderr.write('SKIPPING doctor on hosts of their own: they need root on Linux\n')

describe.skipIf(!canMakeLab)('on hosts of their own', () => {
  let lab: Lab
  let fleet: Fleet
  let relays: readonly [FleetRelay, FleetRelay]
  let host: LabHost
  /** The first relay's process. */
  let pid = ''

  beforeAll(async () => {
    lab = await Lab.make('derp1.lab', 'derp2.lab', 'router.lab')
    host = lab.host('derp1.lab')
    relays = [
      { host, hostname: 'derp1.lab', node: '900a' },
      { host: lab.host('derp2.lab'), hostname: 'derp2.lab', node: '901a' },
    ]
    fleet = await Fleet.make(regionsFile({}))
    await Promise.all(relays.map(async (relay) => await start(relay)))
    await vi.waitFor(
      async () => {
        const { stdout } = await derpfleet(['status', '-json', '-state-dir', fleet.stateFolder('900a')])
        expect(JSON.parse(stdout)).toMatchObject({ siblings: { known: 1, up: 1 } })
      },
      { timeout: 15_000, interval: 200 },
    )
  })
  afterAll(async () => {
    await fleet?.[Symbol.asyncDispose]()
    await lab?.[Symbol.asyncDispose]()
  })

  function regionsFile(own: object): string {
    const node = (at: LabHost, name: string): object => ({
      name,
      hostname: at.name,
      ipv4: at.address,
      ipv6: at.address6,
      canport80: true,
    })
    return JSON.stringify({
      regions: {
        900: { code: 'fra', nodes: [{ ...node(host, '900a'), ...own }] },
        901: { code: 'nyc', nodes: [node(lab.host('derp2.lab'), '901a')] },
      },
    })
  }

  async function start(relay: FleetRelay, ...more: readonly string[]): Promise<void> {
    await fleet.start(relay, ...OWN, '-state-dir', fleet.stateFolder(relay.node), ...more)
  }

  /** Settings of the kernel on the first host, which has defaults of its own. */
  async function setKernel(somaxconn: number, notsentLowat: number): Promise<void> {
    const settings = { 'core/somaxconn': somaxconn, 'ipv4/tcp_notsent_lowat': notsentLowat }
    for (const [name, value] of Object.entries(settings))
      await runOk(...host.command('sh', '-c', `echo ${value} > /proc/sys/net/${name}`))
  }

  /** Both relays use a file with this entry of the first. */
  async function useRegions(own: object): Promise<void> {
    await writeFile(join(fleet.folder, 'regions.yaml'), regionsFile(own))
    // A look that was under way may not have seen it.
    for (const { node } of [...relays, ...relays]) {
      const { stderr } = await derpfleet(['reload', '-state-dir', fleet.stateFolder(node)])
      expect(stderr).toBe('')
    }
  }

  /** On the host of the first relay. */
  async function examine(): Promise<Examination> {
    const options = [
      '-json',
      '-state-dir',
      fleet.stateFolder('900a'),
      '-ca',
      fleet.caPath,
      '-timeout',
      '700ms',
    ]
    const { stdout, stderr } = await runProcess(...host.command(PROGRAM, 'doctor', ...options))
    expect(stderr).toBe('')
    return examinationOf(stdout)
  }

  it('nothing is found in a sound fleet', async () => {
    const { wrong, findings } = await examine()
    pid = /process (\d+)/.exec(findings[0]?.seen ?? '')?.[1] ?? ''
    expect(findings.filter(({ status }) => status === 'fail' || status === 'warn')).toEqual([])
    expect(wrong).toEqual([])
    const ports = findings.filter(({ seen }) => seen.includes('reached from outside by derp2.lab'))
    expect(ports.map(({ check }) => check).sort()).toEqual(
      ['derp-port', 'http-port', 'stun-port'].flatMap((name) => [name, name]),
    )
  })

  it('limits of the host are too low', async () => {
    await setKernel(128, 4_096)
    await runOk('prlimit', ['--pid', pid, '--nofile=1000:20000'])
    const { wrong } = await examine()
    await setKernel(4_096, 2 ** 32 - 1)
    await runOk('prlimit', ['--pid', pid, '--nofile=20000:20000'])
    expect(wrong).toEqual(['descriptors?', 'somaxconn?', 'notsent-lowat?'])
  })

  it('an IPv6 address in the map leads nowhere', async () => {
    await useRegions({ ipv6: lab.host('router.lab').address6 })
    expect((await examine()).wrong).toEqual(['ipv6'])
  })

  it('a container behind a userland proxy: STUN sees the bridge, and the public address does not work from inside', async () => {
    const router = lab.host('router.lab')
    await runOk('ip', ['-n', router.namespace, 'addr', 'add', `${BRIDGE}/24`, 'dev', 'eth0'])
    await runOk('ip', ['-n', host.namespace, 'addr', 'add', `${CONTAINER}/24`, 'dev', 'eth0'])
    const link = ['lladdr', '02:00:00:00:00:99', 'dev', 'eth0']
    await runOk('ip', ['-n', host.namespace, 'neigh', 'replace', router.address, ...link])
    const forward = [
      process.execPath,
      USERLAND_PROXY,
      router.address,
      BRIDGE,
      CONTAINER,
      '443',
      '3478',
    ] as const
    await using _proxy = await startProcess(...router.command(...forward), { readyWhen: /forwarding/ })
    await useRegions({ ipv4: router.address, ipv6: 'none', canport80: false })
    const found = await examine()
    expect(found.wrong).toEqual(['stun-address', 'hairpin?'])
    expect(found.of('stun-address')?.seen).toContain(
      `as ${BRIDGE}, which sends from ${lab.host('derp2.lab').address}`,
    )
    await useRegions({})
  })

  it('a port is closed to the outside', async () => {
    await fleet.kill('900a')
    await start(relays[0], '-a', '127.0.0.1:443')
    const found = await examine()
    expect(found.wrong).toEqual(['derp-port', 'stun-port', 'http-port'])
    expect(found.of('derp-port')?.seen).toMatch(/^from derp2\.lab: .*ECONNREFUSED/)
  })

  it('a sibling has another version, and a clock that is wrong', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'doctor-'))
    try {
      const program = await makeVersion(folder, '0.9.0', [])
      for (const { node } of relays) await fleet.kill(node)
      const env = { NODE_OPTIONS: `--import ${WRONG_CLOCK}` }
      await Promise.all([
        fleet.startAs(relays[1], { program, env }, ...OWN, '-state-dir', fleet.stateFolder('901a')),
        start(relays[0]),
      ])
      // The other one tells its version when it has linked, too.
      const found = await vi.waitFor(
        async () => {
          const one = await examine()
          expect(one.wrong).toContain('versions')
          return one
        },
        { timeout: 15_000, interval: 100 },
      )
      expect(found.wrong).toEqual(['clock', 'versions'])
      expect(found.of('clock')?.seen).toMatch(/(599|600|601) s behind derp2\.lab/)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
})
