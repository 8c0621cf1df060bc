// The image, built here from bases that are made here: what is in it, and that it runs as its user, with a root that nobody
// can write to and without any right. Relays in containers serve two Tailscale clients, are asked for their health, and
// are replaced by another version one after the other. The command of the chart's `helm test` runs from the image, too.

import { chmodSync, existsSync, globSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parse } from 'yaml'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { packageVersion } from '#ops/version.ts'
import { Chart, objectOf } from '../chart/chart.ts'
import { Container, Containers } from '../support/containers.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { ARCHITECTURE, makeBases, type ImageBases } from '../support/image-bases.ts'
import { canMakeNetworks } from '../support/network.ts'
import { Pinger } from '../support/pinger.ts'
import { runOk, waitUntil } from '../support/process.ts'
import type { Tailnet } from '../support/tailnet.ts'
import { DEPLOY } from '../support/terraform.ts'
import { ContainerFleet, NODES, type NodeName } from './container-fleet.ts'

const BUILD_TIMEOUT_MS = 600_000
const TEST_TIMEOUT_MS = 300_000
/** What Docker gives a container to stop in. */
const GRACE_SECONDS = 10
/** What a client may be without an answer: a refused dial, a new login, and a ping that is lost meanwhile. */
const GAP_MS_MAX = 5_000
const TRANSFER_BYTES = 10_000_000

const IMAGE = 'localhost/derpfleet:first'
const NEXT_IMAGE = 'localhost/derpfleet:next'
const NEXT_VERSION = '99.0.0'
const SOURCE_DATE_EPOCH = '1800000000'
const PROGRAM = 'usr/lib/derpfleet'

const programs = await foreignPrograms('podman', 'debian-root')
const clients = await foreignPrograms('tailscale', 'tailscaled', 'headscale')
const helm = await foreignPrograms('helm')
const isRoot = await canMakeNetworks()
if (!isRoot) process.stderr.write('SKIPPING the image: containers and network namespaces require root\n')

/** The `name@version` of packages, sorted. */
function packagesIn(files: string): string[] {
  const found = globSync('**/node_modules/{*,@*/*}/package.json', { cwd: join(files, PROGRAM) }).map(
    (path) => {
      const { name, version } = JSON.parse(readFileSync(join(files, PROGRAM, path), 'utf8'))
      return `${name}@${version}`
    },
  )
  return [...new Set(found)].toSorted()
}

interface Component {
  readonly name: string
  readonly version: string
  readonly purl: string
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[]
}

function billIn(program: string): { readonly components: readonly Component[] } {
  return JSON.parse(readFileSync(join(program, 'sbom.cdx.json'), 'utf8'))
}

describe.skipIf('missing' in programs || !isRoot)('the image', () => {
  let containers: Containers
  let bases: ImageBases
  let files = ''

  async function build(image: string, architecture: 'amd64' | 'arm64'): Promise<void> {
    const cache = (await runOk('npm', ['config', 'get', 'cache'])).trim()
    const base = ['--build-arg', `BASE=${bases.base[architecture]}`]
    const buildBase = [
      '--build-arg',
      `BUILD_BASE=${bases.buildBase[architecture]}`,
      '--volume',
      `${cache}:/root/.npm`,
    ]
    await runOk(join(DEPLOY, 'docker/build'), [architecture, image, ...base, ...buildBase], {
      env: { BUILDER: containers.builder, SOURCE_DATE_EPOCH },
      timeoutMs: BUILD_TIMEOUT_MS,
    })
  }

  async function inspect(format: string, image = IMAGE): Promise<unknown> {
    return JSON.parse(await containers.ok('image', 'inspect', '--format', `{{json ${format}}}`, image))
  }

  beforeAll(async () => {
    const { podman, 'debian-root': archive } =
      'paths' in programs ? programs.paths : { podman: '', 'debian-root': '' }
    containers = new Containers(podman)
    bases = await makeBases(containers, archive)
    await build(IMAGE, ARCHITECTURE)
    files = await containers.filesOf(IMAGE)
  }, BUILD_TIMEOUT_MS)

  afterAll(async () => {
    await containers?.[Symbol.asyncDispose]()
  }, TEST_TIMEOUT_MS)

  it('says what it is, and has a numeric user, high ports, a volume and a health check', async () => {
    expect(await inspect('.Config')).toMatchObject({
      User: '65532:65532',
      ExposedPorts: { '8443/tcp': {}, '8080/tcp': {}, '3478/udp': {} },
      Volumes: { '/data': {} },
      Entrypoint: ['/usr/bin/derpfleet'],
      Cmd: ['serve'],
      Labels: {
        'org.opencontainers.image.version': packageVersion(),
        'org.opencontainers.image.created': '2027-01-15T08:00:00Z',
        'org.opencontainers.image.revision': (await runOk('git', ['-C', DEPLOY, 'rev-parse', 'HEAD'])).trim(),
        'org.opencontainers.image.base.name': bases.base[ARCHITECTURE],
        'org.opencontainers.image.licenses': 'Apache-2.0',
      },
    })
    expect(await inspect('.HealthCheck')).toMatchObject({
      Test: ['CMD', '/usr/bin/derpfleet', 'healthcheck'],
    })
    expect(await inspect('.Architecture')).toBe(ARCHITECTURE)
  })

  it('has no shell, nothing for developers, and no file that its user could change', async () => {
    const names = globSync('**', { cwd: files }).map((path) => path.split('/').at(-1))
    for (const name of ['sh', 'bash', 'dash', 'busybox', 'npm', 'vitest', 'typescript', 'tsc']) {
      expect(names).not.toContain(name)
    }
    for (const name of ['koffi', 'LICENSE', 'third-party.md']) expect(names).toContain(name)
    const changeable = ['(', '-perm', '/022', '-o', '-perm', '/6000', '-o', '-uid', '65532', ')']
    const own = join(files, PROGRAM)
    const found = await runOk('find', [own, join(files, 'data'), '-not', '-type', 'l', ...changeable])
    expect(found.trim()).toBe(join(files, 'data'))
    expect(statSync(join(files, 'data')).gid).toBe(65_532)
  })

  it('lists in its bill of materials what it has, Node too, and nothing else', () => {
    const { components } = billIn(join(files, PROGRAM))
    const node = components.filter(({ name }) => name === 'node')
    const listed = components
      .filter((one) => !node.includes(one))
      .map(({ name, version }) => `${name}@${version}`)
    expect(listed.toSorted()).toEqual(packagesIn(files))
    expect(listed.length).toBeGreaterThan(20)
    expect(node).toMatchObject([{ version: process.versions.node }])
    for (const { purl } of components) expect(purl).toMatch(/^pkg:(npm|generic)\/\S+@\d/)
  })

  it('has the packages that anybody gets from the same sources', { timeout: TEST_TIMEOUT_MS }, async () => {
    const own = containers.folder()
    await runOk(join(DEPLOY, 'assemble'), [ARCHITECTURE, own], { timeoutMs: TEST_TIMEOUT_MS })
    // Versions of npm word the rest of it in different ways.
    const [mine, theirs] = [own, join(files, PROGRAM)].map((folder) =>
      billIn(folder).components.map(({ purl, hashes = [] }) => [purl, hashes]),
    )
    expect(mine).toEqual(theirs)
    expect(mine?.filter(([, hashes]) => hashes?.length === 0)).toHaveLength(1)
  })

  it('is built for the other architecture, too', { timeout: BUILD_TIMEOUT_MS }, async () => {
    const other = ARCHITECTURE === 'amd64' ? 'arm64' : 'amd64'
    const [image, cpu] = ['localhost/derpfleet:other', other === 'arm64' ? 'arm64' : 'x64']
    await build(image, other)
    expect(await inspect('.Architecture', image)).toBe(other)
    const tree = await containers.filesOf(image)
    expect(packagesIn(tree).filter((name) => /-linux-/.test(name))).toEqual(
      packagesIn(files)
        .filter((name) => /-linux-/.test(name))
        .map((name) => name.replace(/-(x64|arm64)@/, `-${cpu}@`)),
    )
    const header = readFileSync(join(tree, PROGRAM, `node_modules/node-linux-${cpu}/bin/node`)).subarray(
      0,
      20,
    )
    // The field e_machine of an ELF file: AArch64 and x86-64.
    expect(header.readUInt16LE(18)).toBe(other === 'arm64' ? 183 : 62)
  })

  describe.skipIf('missing' in clients)('in containers of two hosts', () => {
    let fleet: ContainerFleet
    let net: Tailnet

    beforeAll(async () => {
      fleet = await ContainerFleet.make(containers)
      await containers.derive(NEXT_IMAGE, IMAGE, {
        path: `/${PROGRAM}/package.json`,
        text: readFileSync(join(files, PROGRAM, 'package.json'), 'utf8').replace(
          `"version": "${packageVersion()}"`,
          `"version": "${NEXT_VERSION}"`,
        ),
      })
    }, TEST_TIMEOUT_MS)

    afterAll(async () => {
      await net?.[Symbol.asyncDispose]()
      await containers.run('rm', '--all', '--force', '--time', '0')
      await fleet?.[Symbol.asyncDispose]()
    }, TEST_TIMEOUT_MS)

    it('accepts the settings of the example for Compose', { timeout: TEST_TIMEOUT_MS }, async () => {
      const compose = parse(readFileSync(join(DEPLOY, 'docker/compose.yaml'), 'utf8'))
      const { environment, ports } = compose.services.relay
      expect(ports).toEqual(['443:8443', '80:8080', '3478:3478/udp'])
      const options = fleet.options(fleet.lab.host('alice.lab'), IMAGE)
      const checked = await containers.once({ ...options, env: environment }, 'config', 'check')
      expect([checked.code, checked.stdout]).toEqual([0, 'the configuration is valid\n'])
      expect(checked.stderr).not.toMatch(/DERPFLEET_/)
    })

    it('refuses a mistake in the settings with a message', { timeout: TEST_TIMEOUT_MS }, async () => {
      const options = fleet.options(fleet.lab.host('alice.lab'), IMAGE)
      const refused = await containers.once({ ...options, env: { DERPFLEET_THREADS: 'many' } })
      expect(refused).toMatchObject({ code: 1, stdout: '' })
      expect(refused.stderr).toContain('DERPFLEET_THREADS')
      const version = await containers.once(options, 'version')
      expect([version.code, version.stdout]).toEqual([0, `${packageVersion()}\n`])
    })

    it(
      'runs without any right, and its health is that of the relay',
      { timeout: TEST_TIMEOUT_MS },
      async () => {
        const relay = await fleet.start('900a', IMAGE)
        const pid = await relay.pid()
        const status = readFileSync(`/proc/${pid}/status`, 'utf8')
        expect(status).toMatch(/^Uid:\t65532\t65532\t65532\t65532$/m)
        expect(status.match(/^Cap\w+:\t0{16}$/gm)).toHaveLength(5)
        expect(status).toMatch(/^NoNewPrivs:\t1$/m)
        const root = readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
        expect(root).toMatch(/^\d+ \d+ \S+ \S+ \/ ro/m)
        expect(existsSync(`/proc/${pid}/root/bin/sh`)).toBe(false)
        expect(await relay.checkHealth()).toMatchObject({ code: 0 })
        process.kill(pid, 'SIGSTOP')
        try {
          expect(await relay.checkHealth()).toMatchObject({ code: 1 })
          const { code, stderr } = await relay.exec('derpfleet', 'healthcheck')
          expect([code, stderr]).toEqual([1, expect.stringContaining('it takes longer than 3 s')])
        } finally {
          process.kill(pid, 'SIGCONT')
        }
        expect(await relay.checkHealth()).toMatchObject({ code: 0 })
        expect((await relay.exec('derpfleet', 'status')).stdout).toMatch(/^state +ready$/m)
        expect(await relay.log()).not.toMatch(/"level":"(?:error|fatal)"|unusable/)
        expect(await relay.stop(GRACE_SECONDS)).toBe(0)
        await relay.remove()
      },
    )

    it(
      'serves two Tailscale clients, and another version replaces it within the grace',
      { timeout: TEST_TIMEOUT_MS },
      async () => {
        const relays = {
          '900a': await fleet.start('900a', IMAGE),
          '900b': await fleet.start('900b', IMAGE),
        }
        net = await fleet.startClients()
        const { sent, received } = await net.transfer(TRANSFER_BYTES)
        expect(received).toBe(sent)
        expect((await net.alice.peer())?.directAddress).toBe('')
        await using pinger = new Pinger(net.alice, await net.bob.address())
        await sleep(3_000)
        expect(pinger.take().sent).toBeGreaterThan(0)
        let moved = 0
        for (const node of await busiestFirst(relays)) {
          const relay = relays[node]
          const key = keyIn(await relay.log())
          const pid = await relay.pid()
          const stopped = relay.stop(GRACE_SECONDS)
          const draining = await healthInDrain(pid)
          expect(await stopped).toBe(0)
          const log = await relay.log()
          const drained = JSON.parse(log.split('\n').find((line) => line.includes('"relay_drained"')) ?? '{}')
          expect(drained).toMatchObject({ forced: 0, remaining: 0 })
          moved += Number(drained.moved) + Number(drained.left)
          await relay.remove()
          relays[node] = await fleet.start(node, NEXT_IMAGE)
          const status = JSON.parse((await relays[node].exec('derpfleet', 'status', '-json')).stdout)
          expect(status).toMatchObject({ version: NEXT_VERSION, key, state: 'ready' })
          await sleep(3_000)
          const counts = pinger.take()
          process.stderr.write(
            `${NODES[node]} replaced: ${drained.moved} clients moved in ${drained.durationMs} ms, ${drained.lost} packets lost; ` +
              `${counts.sent} pings, ${counts.lost} lost, longest gap ${counts.longestGapMs} ms\n`,
          )
          expect(counts.longestGapMs).toBeLessThanOrEqual(GAP_MS_MAX)
          expect(draining).toMatch(/^live, not ready: drain: draining/)
        }
        // Both from the first relay to the second, and back.
        expect(moved).toBeGreaterThanOrEqual(4)
        expect(await net.alice.homeRegion()).toBe('fra')
      },
    )

    it.skipIf('missing' in helm)(
      "has the command of the chart's test, which finds the relays good, and a stopped one not",
      { timeout: TEST_TIMEOUT_MS },
      async () => {
        const { args, map } = await helmTest(fleet)
        const options = fleet.options(fleet.lab.host('bob.lab'), NEXT_IMAGE)
        const maps = containers.folder()
        writeFileSync(join(maps, 'derpmap.json'), map)
        chmodSync(maps, 0o755)
        const job = {
          ...options,
          volumes: [
            `${maps}:/etc/derpfleet/map:ro`,
            `${fleet.folder}:/etc/derpfleet/mesh:ro`,
            `${fleet.folder}:/etc/derpfleet/mesh-ca:ro`,
          ],
        }
        const good = await containers.once(job, ...args)
        expect(good.code, good.stdout + good.stderr).toBe(0)
        for (const check of ['stun IPv4', 'login IPv4', 'packet', 'full-packet', 'websocket']) {
          expect(good.stdout.match(new RegExp(`^ +ok +${check} `, 'gm'))).toHaveLength(2)
        }
        await containers.ok('stop', '--time', '0', 'relay-900b')
        const bad = await containers.once(job, ...args)
        expect([bad.code, bad.stdout]).toEqual([1, expect.stringMatching(/^ +fail +/im)])
      },
    )
  })
})

function keyIn(log: string): string {
  return /"event":"relay_started".*"key":"(nodekey:\w+)"/.exec(log)?.[1] ?? 'no key'
}

/** The relays, those with clients in front. */
async function busiestFirst(relays: Readonly<Record<NodeName, Container>>): Promise<readonly NodeName[]> {
  const counts = new Map<NodeName, number>()
  for (const node of ['900a', '900b'] as const) {
    const { stdout } = await relays[node].exec('derpfleet', 'status', '-json')
    counts.set(node, (JSON.parse(stdout) as { readonly clients: number }).clients)
  }
  return [...counts].toSorted(([, one], [, other]) => other - one).map(([node]) => node)
}

/** What the health check says in the drain; undefined: the drain was too short. @param pid of the relay */
async function healthInDrain(pid: number): Promise<string | undefined> {
  const env = { DERPFLEET_CONFIG: '/etc/derpfleet/derpfleet.yaml' }
  let said: string | undefined
  await waitUntil('the drain was seen, or is over', async () => {
    if (!existsSync(`/proc/${pid}`)) return true
    const { stdout } = await Container.enter(pid, env, '/usr/bin/derpfleet', 'healthcheck')
    if (stdout.startsWith('live, not ready')) said = stdout
    return said !== undefined
  })
  return said
}

/** The arguments and the map of the chart's test Job for the fleet's relays. */
async function helmTest(fleet: ContainerFleet): Promise<{ args: readonly string[]; map: string }> {
  const chart = new Chart('paths' in helm ? helm.paths.helm : '')
  const set = [
    'region=900',
    'admission.open=true',
    'mesh.existingSecret="mesh"',
    'mesh.caSecret={"name":"ca","key":"authority.crt"}',
    'tls={"mode":"secrets","existingSecret":"tls"}',
  ]
  const objects = await chart.objects({ values: [join(fleet.folder, 'regions.yaml')], set })
  const [container] = objectOf(objects, 'Job').spec.template.spec.containers
  const map = objectOf(objects, 'ConfigMap', 'fra-derpfleet-test').data?.['derpmap.json'] ?? ''
  return { args: container.args as readonly string[], map }
}
