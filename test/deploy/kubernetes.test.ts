// The Helm chart in a Kubernetes cluster without machines: its API server accepts every object of every example and mode, and
// the releases of both Helms are installed, upgraded, rolled back, tested and removed there. What is left is compared with
// what there was. Pods do not run (KWOK plays them), but the command of `helm test` does, against a live relay.

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Chart, CHART, examplePath, EXAMPLES, FLEET_FILE, type KubernetesObject } from '../chart/chart.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { kubernetesRecipes } from '../support/kubernetes-build.ts'
import { LoopbackFleet } from '../support/loopback-fleet.ts'
import { waitUntil, type RunResult } from '../support/process.ts'
import { Cluster } from './cluster.ts'
import { TestPods } from './test-pods.ts'

const START_TIMEOUT_MS = 180_000
const TEST_TIMEOUT_MS = 300_000
/** Of the chart: minReadySeconds. */
const READY_MS_MIN = 30_000
/** Of the chart: an annotation that changes with the settings that need a restart. */
const RESTART = 'derpfleet/settings-that-need-a-restart'
/** Helm's own is 5 minutes. */
const WAIT = ['--wait', '--timeout=150s']

const names = Object.keys(kubernetesRecipes) as (keyof typeof kubernetesRecipes)[]
const programs = await foreignPrograms('helm', 'helm-4', ...names)

/** What the examples do not have. */
const VARIANTS: readonly (readonly [example: string, what: string, ...set: readonly string[]])[] = [
  ['metallb', 'no STUN', 'regions.900.nodes[0].stunport=-1', 'regions.900.nodes[1].stunport=-1'],
  ['metallb', 'a relay on port 80', 'regions.900.nodes[0].derpport=80'],
  ['metallb', 'certificates of its own', 'tls.mode="secrets"', 'tls.existingSecret="tls"'],
  ['metallb', 'an external binding', 'tls.acme={"authority":"gcp","eabSecret":"eab"}'],
  ['metallb', 'a NetworkPolicy', 'networkPolicy={"enabled":true,"metricsFrom":[{"podSelector":{}}]}'],
  [
    'everything',
    'a ServiceMonitor',
    'metrics.podMonitor.enabled=false',
    'metrics.serviceMonitor.enabled=true',
  ],
  ['everything', 'names of a length', `regions.900.nodes[0].name="${'n'.repeat(63)}"`],
  ['split-protocols', 'no STUN', 'regions.900.nodes[0].stunport=-1', 'regions.900.nodes[1].stunport=-1'],
  ['cluster-ip', 'a NetworkPolicy', 'networkPolicy.enabled=true'],
  ['cluster-ip', 'volumes', 'persistence.enabled=true', 'persistence.storageClass="fast"'],
  [
    'host-network',
    'hidden metrics',
    'exposure.hostNetwork.admin="loopback"',
    'metrics.podMonitor.enabled=false',
  ],
  [
    'host-network',
    'no port 80',
    'exposure.hostNetwork.httpPort=-1',
    'tls={"mode":"secrets","existingSecret":"x"}',
  ],
  [
    'host-network',
    'a ServiceMonitor',
    'metrics.podMonitor.enabled=false',
    'metrics.serviceMonitor.enabled=true',
  ],
  ['host-port', 'no STUN', 'regions.902.nodes[0].stunport=-1'],
  ['host-port', 'a relay on port 80', 'regions.902.nodes[0].derpport=80'],
  ['host-port', 'a volume', 'persistence={"enabled":true,"hostPath":"/var/lib/derpfleet"}'],
]

function isOnMachines(example: string): boolean {
  return example.startsWith('host-')
}

function succeeded({ code, stdout, stderr }: RunResult): string {
  if (code !== 0) throw new Error(stdout + stderr)
  return stdout
}

describe.skipIf('missing' in programs)('in a Kubernetes cluster, the chart', () => {
  const paths = 'paths' in programs ? programs.paths : undefined
  const [helm3, helm4] = [paths?.helm ?? '', paths?.['helm-4'] ?? '']
  const chart = new Chart(helm3)
  let cluster: Cluster

  beforeAll(async () => {
    if (paths === undefined) return
    cluster = await Cluster.start(paths)
    await cluster.namespace('derp', 'privileged')
  }, START_TIMEOUT_MS)

  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]()
  }, START_TIMEOUT_MS)

  async function helm(program: string, ...args: readonly string[]): Promise<string> {
    return succeeded(await cluster.helm(program, args))
  }

  /** Arguments for a release of the example in the namespace. */
  function release(
    name: string,
    namespace: string,
    example: string,
    ...set: readonly string[]
  ): readonly string[] {
    const values = [FLEET_FILE, examplePath(example)].map((path) => `--values=${path}`)
    return [name, CHART, `--namespace=${namespace}`, ...values, ...set.flatMap((one) => ['--set-json', one])]
  }

  async function podsOf(namespace: string): Promise<readonly KubernetesObject[]> {
    return await cluster.get(
      'pods',
      `--namespace=${namespace}`,
      '--selector=app.kubernetes.io/component=relay',
      '--sort-by=.metadata.name',
    )
  }

  async function readyPods(namespace: string): Promise<number> {
    const conditions = (await podsOf(namespace)).map(({ status }) => status.conditions ?? [])
    return conditions.filter((all) =>
      all.some((one: { type: string; status: string }) => one.type === 'Ready' && one.status === 'True'),
    ).length
  }

  /** What is there and was not before. Kubernetes removes what belongs to removed objects a little later. */
  async function left(before: readonly string[], expected: number): Promise<readonly string[]> {
    const isNew = (one: string): boolean => !before.includes(one)
    let found: readonly string[] = []
    await waitUntil(
      'the rest is removed',
      async () => {
        found = (await cluster.everything()).filter(isNew)
        return found.length <= expected
      },
      20_000,
    ).catch(() => undefined)
    return found
  }

  const cases = [...EXAMPLES.map((example) => [example, 'nothing else'] as const), ...VARIANTS]
  it.each(cases)(
    'has objects that the API server accepts, without a warning: %s with %s',
    async (example, _, ...set) => {
      const manifests = await chart.manifests({ values: [FLEET_FILE, examplePath(example)], set })
      const { stdout, stderr } = await cluster.apply(manifests, '--dry-run=server', '--validate=strict')
      // Pods that take ports of their machine are none of Pod Security's.
      expect(stderr).toBe('')
      expect(stdout.match(/ serverside-applied \(server dry run\)$/gm)).toHaveLength(
        manifests.match(/^kind: /gm)?.length ?? 0,
      )
    },
  )

  it('would be refused with a value that Kubernetes does not have', async () => {
    const manifests = await chart.manifests({ values: [FLEET_FILE, examplePath('metallb')] })
    const { stderr } = await cluster.apply(
      manifests.replace('protocol: UDP', 'protocol: UDPP'),
      '--dry-run=server',
      '--validate=strict',
    )
    expect(stderr).toMatch(/Unsupported value: "UDPP"/)
  })

  it.each(EXAMPLES)(
    'runs %s until it is removed, and leaves only volumes that are to be kept',
    { timeout: TEST_TIMEOUT_MS },
    async (example) => {
      const namespace = `of-${example}`
      await cluster.namespace(namespace, isOnMachines(example) ? 'privileged' : 'restricted')
      const before = await cluster.everything()
      const printed = await helm(helm3, 'install', ...release('fra', namespace, example), ...WAIT)
      expect(printed).toContain('STATUS: deployed')
      const [pod] = await podsOf(namespace)
      const relays = example === 'eks' || example === 'cluster-ip' || example === 'host-port' ? 1 : 2
      await waitUntil('the relays are ready', async () => (await readyPods(namespace)) === relays)
      const claims = await cluster.get('persistentvolumeclaims', `--namespace=${namespace}`)
      expect(claims.map(({ status }) => status.phase as string)).toEqual(claims.map(() => 'Bound'))
      const hasVolumes = !isOnMachines(example) && example !== 'cluster-ip'
      expect(claims).toHaveLength(hasVolumes ? relays : 0)
      expect(pod?.spec.serviceAccountName).toBe('fra-derpfleet')
      await helm(helm3, 'uninstall', 'fra', `--namespace=${namespace}`, ...WAIT)
      const isKept = hasVolumes && example !== 'split-protocols'
      const kept = isKept
        ? claims.flatMap(({ metadata, spec }) => [
            `PersistentVolumeClaim ${namespace}/${metadata.name}`,
            `PersistentVolume /${spec.volumeName}`,
          ])
        : []
      expect(await left(before, kept.length)).toEqual(kept.toSorted())
      await cluster.kubectl('delete', 'namespace', namespace, '--wait=false')
    },
  )

  // At the same time: they wait for most of theirs.
  it.concurrent.each([
    ['metallb', 'statefulset', 'availableReplicas'],
    ['host-network', 'daemonset', 'numberAvailable'],
  ])(
    'replaces one relay of %s after the other, and none for a setting that needs no restart',
    { timeout: TEST_TIMEOUT_MS },
    async (example, kind, available) => {
      const namespace = `upgraded-${kind}`
      const [workload, ofNamespace] = [`${kind}/fra-derpfleet`, `--namespace=${namespace}`]
      await cluster.namespace(namespace, isOnMachines(example) ? 'privileged' : 'restricted')
      const fra = (...set: readonly string[]) => release('fra', namespace, example, ...set)
      const rolledOut = async () => {
        await cluster.kubectl('rollout', 'status', workload, ofNamespace)
        return await podsOf(namespace)
      }
      await helm(helm3, 'install', ...fra(), ...WAIT)
      // Relays that have not been ready for so long are replaced at once.
      const both = `--for=jsonpath={.status.${available}}=2`
      await cluster.kubectl('wait', both, workload, ofNamespace, '--timeout=120s')
      const first = await podsOf(namespace)
      expect(new Set(first.map(({ spec }) => spec.nodeName as string)).size).toBe(2)

      await helm(helm3, 'upgrade', ...fra('regions.900.state="draining"', 'settings.log-level="debug"'))
      expect(uids(await rolledOut())).toEqual(uids(first))

      await helm(helm3, 'upgrade', ...fra('settings.threads=3'))
      const upgraded = await rolledOut()
      expect(upgraded).toHaveLength(2)
      for (const uid of uids(upgraded)) expect(uids(first)).not.toContain(uid)
      const [early = 0, late = 0] = upgraded
        .map(({ metadata }) => Date.parse(metadata.creationTimestamp ?? ''))
        .toSorted((one, next) => one - next)
      expect(late - early).toBeGreaterThanOrEqual(READY_MS_MIN)
      await cluster.kubectl('delete', 'namespace', namespace, '--wait=false')
    },
  )

  it('is rolled back, and has its volumes again', { timeout: TEST_TIMEOUT_MS }, async () => {
    const namespace = 'life'
    await cluster.namespace(namespace, 'restricted')
    const before = await cluster.everything()
    const fra = (...set: readonly string[]) => release('fra', namespace, 'metallb', ...set)
    const sums = async () => (await podsOf(namespace)).map(({ metadata }) => metadata.annotations?.[RESTART])
    await helm(helm3, 'install', ...fra(), ...WAIT)
    const first = await sums()
    await helm(helm3, 'upgrade', ...fra('settings.threads=3'), ...WAIT)
    expect(await sums()).not.toEqual(first)
    await helm(helm3, 'rollback', 'fra', '1', `--namespace=${namespace}`, ...WAIT)
    expect(await sums()).toEqual(first)

    const volumes = async () =>
      (await cluster.get('persistentvolumeclaims', `--namespace=${namespace}`)).map(
        ({ spec }) => spec.volumeName as string,
      )
    const kept = await volumes()
    expect(new Set(kept).size).toBe(2)
    await helm(helm3, 'uninstall', 'fra', `--namespace=${namespace}`, ...WAIT)
    expect(await left(before, 4)).toHaveLength(4)
    await helm(helm3, 'install', ...fra(), ...WAIT)
    expect(await volumes()).toEqual(kept)
    await helm(helm3, 'upgrade', ...fra('persistence.retain=false'), ...WAIT)
    await helm(helm3, 'uninstall', 'fra', `--namespace=${namespace}`, ...WAIT)
    expect(await left(before, 0)).toEqual([])
  })

  it(
    'takes another size of its volumes, if the relays are left alone meanwhile',
    { timeout: TEST_TIMEOUT_MS },
    async () => {
      const namespace = 'size'
      await cluster.namespace(namespace, 'restricted')
      const before = await cluster.everything()
      const fra = (...set: readonly string[]) => release('fra', namespace, 'split-protocols', ...set)
      await helm(helm3, 'install', ...fra(), ...WAIT)
      const first = uids(await podsOf(namespace))
      const larger = ['upgrade', ...fra('persistence.size="128Mi"'), ...WAIT]
      await expect(helm(helm3, ...larger)).rejects.toThrow(/spec\.volumeClaimTemplates/)
      await cluster.kubectl(
        'delete',
        'statefulset',
        'fra-derpfleet',
        '--cascade=orphan',
        `--namespace=${namespace}`,
      )
      await helm(helm3, ...larger)
      expect(uids(await podsOf(namespace))).toEqual(first)
      await helm(helm3, 'uninstall', 'fra', `--namespace=${namespace}`, ...WAIT)
      expect(await left(before, 0)).toEqual([])
    },
  )

  it('lets one relay at a time be evicted', { timeout: TEST_TIMEOUT_MS }, async () => {
    const namespace = 'evicted'
    await cluster.namespace(namespace, 'restricted')
    await helm(helm3, 'install', ...release('fra', namespace, 'metallb'), ...WAIT)
    const allowed = async () => {
      const [budget] = await cluster.get('poddisruptionbudgets', `--namespace=${namespace}`)
      return budget?.status.disruptionsAllowed as number
    }
    await waitUntil('one may be evicted', async () => (await allowed()) === 1)
    const [one, other] = (await podsOf(namespace)).map(({ metadata }) => metadata.name)
    await evict(namespace, one ?? '')
    await expect(evict(namespace, other ?? '')).rejects.toThrow(/would violate the pod's disruption budget/)
    await waitUntil('the other may be evicted', async () => (await allowed()) === 1)
    await evict(namespace, other ?? '')
    await cluster.kubectl('delete', 'namespace', namespace, '--wait=false')
  })

  async function evict(namespace: string, name: string): Promise<void> {
    const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace } }
    const path = `/api/v1/namespaces/${namespace}/pods/${name}/eviction`
    await cluster.kubectlWith(JSON.stringify(eviction), 'create', `--raw=${path}`, '--filename=-')
  }

  it.each([
    ['3', () => helm3],
    ['4', () => helm4],
  ])(
    'is tested by Helm %s: a live relay is found good, a dead one not',
    { timeout: TEST_TIMEOUT_MS },
    async (version, program) => {
      const namespace = `tested-${version}`
      await using fleet = await LoopbackFleet.make(
        ['900a'],
        (fieldsOf) => `regions: {900: {code: fra, name: Frankfurt, nodes: [{${fieldsOf('900a')}}]}}`,
      )
      await fleet.start('900a')
      await cluster.namespace(namespace, 'restricted')
      await cluster.kubectl(
        'create',
        'secret',
        'generic',
        'derp-mesh',
        `--namespace=${namespace}`,
        `--from-file=mesh.key=${join(fleet.folder, 'psk')}`,
      )
      await cluster.kubectl(
        'create',
        'secret',
        'generic',
        'derp-ca',
        `--namespace=${namespace}`,
        `--from-file=ca.crt=${fleet.caPath}`,
      )
      const before = await cluster.everything()
      const set = [
        'region=900',
        'admission.open=true',
        'mesh={"existingSecret":"derp-mesh","caSecret":{"name":"derp-ca"}}',
        'tls={"mode":"secrets","existingSecret":"derp-tls"}',
        'persistence.retain=false',
      ]
      const values = [
        `--values=${join(fleet.folder, 'regions.yaml')}`,
        ...set.flatMap((one) => ['--set-json', one]),
      ]
      await helm(program(), 'install', 'fra', CHART, `--namespace=${namespace}`, ...values, ...WAIT)
      await using pods = new TestPods(cluster, namespace)
      const test = ['test', 'fra', `--namespace=${namespace}`]
      const good = await cluster.helm(program(), [...test, '--timeout=60s'])
      expect(good.code, good.stdout + good.stderr + pods.results[0]?.stdout).toBe(0)
      expect(good.stdout).toMatch(/Phase: +Succeeded/)
      expect(pods.results.map(({ code }) => code)).toEqual([0])
      expect(pods.results[0]?.stdout).toMatch(/^ +ok +login IPv4 /m)
      await fleet.kill('900a')
      const bad = await cluster.helm(program(), [...test, '--timeout=25s'])
      expect(bad.code).toBe(1)
      expect(pods.results.length).toBeGreaterThan(1)
      expect(pods.results.at(-1)).toMatchObject({ code: 1, stdout: expect.stringMatching(/^ +fail +/im) })
      // Helm 4 prints it as one line.
      expect(bad.stdout + bad.stderr).toMatch(/ {2}fail {2}/i)
      await helm(program(), 'uninstall', 'fra', `--namespace=${namespace}`, ...WAIT)
      expect(await left(before, 0)).toEqual([])
    },
  )

  it(
    'is taken over by Helm 4 from Helm 3, and has its life there',
    { timeout: TEST_TIMEOUT_MS },
    async () => {
      const namespace = 'both'
      await cluster.namespace(namespace, 'restricted')
      const before = await cluster.everything()
      const fra = (...set: readonly string[]) => release('fra', namespace, 'split-protocols', ...set)
      await helm(helm3, 'install', ...fra(), ...WAIT)
      await helm(helm4, 'upgrade', ...fra('settings.log-level="debug"'), ...WAIT)
      await helm(helm4, 'upgrade', ...fra(), ...WAIT)
      await helm(helm4, 'rollback', 'fra', '2', `--namespace=${namespace}`, ...WAIT)
      await helm(helm4, 'uninstall', 'fra', `--namespace=${namespace}`, ...WAIT)
      expect(await left(before, 0)).toEqual([])
      await helm(helm4, 'install', ...fra(), ...WAIT)
      await helm(helm4, 'upgrade', ...fra('settings.log-level="debug"'), ...WAIT)
      await helm(helm4, 'rollback', 'fra', '1', `--namespace=${namespace}`, ...WAIT)
      await helm(helm4, 'uninstall', 'fra', `--namespace=${namespace}`, ...WAIT)
      expect(await left(before, 0)).toEqual([])
    },
  )
})

function uids(pods: readonly KubernetesObject[]): readonly string[] {
  return pods.map(({ metadata }) => metadata.uid ?? '').toSorted()
}
