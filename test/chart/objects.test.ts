// What the objects of the chart say, by exposure mode and by value: how clients reach each relay, how long a pod may drain,
// where pods may run, what they may do, and what is left when a release is removed.

import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { copiedFiles, filesOfTheChart } from '../../deploy/helm/write.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { Chart, examplePath, EXAMPLES, FLEET_FILE, objectOf, type KubernetesObject } from './chart.ts'

const programs = await foreignPrograms('helm')
const chart = new Chart('paths' in programs ? programs.paths.helm : '')

async function objectsOf(example: string, ...set: readonly string[]): Promise<readonly KubernetesObject[]> {
  return await chart.objects({ values: [FLEET_FILE, examplePath(example)], set })
}

function loadBalancers(objects: readonly KubernetesObject[]): readonly KubernetesObject[] {
  return objects.filter(({ kind, spec }) => kind === 'Service' && spec.type === 'LoadBalancer')
}

/** `PROTOCOL PORT → NAME` */
function portsOf({ spec }: KubernetesObject): readonly string[] {
  const ports = spec.ports as readonly { protocol: string; port: number; targetPort: string }[]
  return ports.map(({ protocol, port, targetPort }) => `${protocol} ${port} → ${targetPort}`)
}

function workload(objects: readonly KubernetesObject[]): KubernetesObject {
  const found = objects.find(({ kind }) => kind === 'StatefulSet' || kind === 'DaemonSet')
  if (found === undefined) throw new Error('no relays')
  return found
}

describe.skipIf('missing' in programs)('a load balancer for each relay', () => {
  it('leads to one pod, keeps the address of clients, and leads there also while the relay drains', async () => {
    const services = loadBalancers(await objectsOf('metallb'))
    expect(services.map(({ metadata }) => metadata.labels?.['derpfleet/node'])).toEqual(['900a', '900b'])
    for (const [at, { spec }] of services.entries()) {
      expect(spec.selector).toMatchObject({ 'statefulset.kubernetes.io/pod-name': `fra-derpfleet-${at}` })
      expect(spec.externalTrafficPolicy).toBe('Local')
      expect(spec.publishNotReadyAddresses).toBe(true)
    }
    expect(portsOf(services[0] ?? expect.fail())).toEqual([
      'TCP 443 → derp',
      'TCP 80 → http',
      'UDP 3478 → stun',
    ])
  })

  it('has the ports that clients know from the regions file', async () => {
    const set = ['region=902', 'nodes={}']
    const [service] = loadBalancers(await objectsOf('gke', ...set))
    expect(portsOf(service ?? expect.fail())).toEqual(['TCP 8443 → derp', 'TCP 80 → http', 'UDP 3479 → stun'])
    const [silent] = loadBalancers(await objectsOf('gke', ...set, 'regions.902.nodes[0].stunport=-1'))
    expect(portsOf(silent ?? expect.fail())).toEqual(['TCP 8443 → derp', 'TCP 80 → http'])
  })

  it('asks for the address in the regions file, unless a relay has another or annotations do it', async () => {
    const addresses = async (example: string, ...set: readonly string[]) =>
      loadBalancers(await objectsOf(example, ...set)).map(
        ({ spec }) => spec.loadBalancerIP as string | undefined,
      )
    expect(await addresses('gke')).toEqual(['192.0.2.1', '192.0.2.2'])
    expect(await addresses('gke', 'nodes.900b.loadBalancerIP="10.0.0.9"')).toEqual(['192.0.2.1', '10.0.0.9'])
    expect(await addresses('gke', 'regions.900.nodes[0].ipv4="none"')).toEqual([undefined, '192.0.2.2'])
    expect(await addresses('eks')).toEqual([undefined])
  })

  it('has annotations of all relays and of its own, with what stands for its fields', async () => {
    const annotations = loadBalancers(await objectsOf('metallb')).map(({ metadata }) => metadata.annotations)
    expect(annotations).toEqual([
      { 'metallb.io/loadBalancerIPs': '192.0.2.1,2001:db8:0:1::1' },
      { 'metallb.io/loadBalancerIPs': '192.0.2.2' },
    ])
  })

  it('is two Services where a load balancer has one protocol', async () => {
    const services = loadBalancers(await objectsOf('split-protocols'))
    expect(services.map((one) => [one.metadata.name, ...portsOf(one)].join(', '))).toEqual([
      'fra-derpfleet-0-tcp, TCP 443 → derp, TCP 80 → http',
      'fra-derpfleet-0-udp, UDP 3478 → stun',
      'fra-derpfleet-1-tcp, TCP 443 → derp, TCP 80 → http',
      'fra-derpfleet-1-udp, UDP 3478 → stun',
    ])
  })
})

describe.skipIf('missing' in programs)('the relays of a release', () => {
  const regions = {
    '900': { code: 'a', nodes: [node('900a', 'a'), node('900b', 'b')] },
    '0901': {
      code: 'b',
      nodes: [
        node('901s', 'a', { standby: true }),
        node('901b', 'B'),
        node('901c', 'c'),
        node('901d', 'b', { mesh: 'x' }),
      ],
    },
  }
  function node(name: string, host: string, more: object = {}): object {
    return { name, hostname: `${host}.example`, ...more }
  }

  it.each([
    [900, ['900a', '900b']],
    // Its standby is a relay of 900, and so is the relay with the host name of 900b.
    [901, ['901c', '901d']],
  ])('of region %s are %s', async (region, names) => {
    using folder = new TemporaryFolder()
    const path = folder.write('regions.yaml', JSON.stringify({ regions }))
    const set = [`region=${region}`, 'admission.open=true', 'mesh.existingSecret="x"']
    const objects = await chart.objects({ values: [path], set })
    expect(loadBalancers(objects).map(({ metadata }) => metadata.labels?.['derpfleet/node'])).toEqual(names)
    expect(workload(objects).spec.replicas).toBe(names.length)
  })

  it('run as nobody, with no right and no token', async () => {
    for (const example of EXAMPLES) {
      for (const { spec } of (await objectsOf(example)).filter(({ kind }) => /Set$|^Job$/.test(kind))) {
        const pod = spec.template.spec
        expect(pod.automountServiceAccountToken).toBe(false)
        expect(pod.securityContext).toMatchObject({
          runAsNonRoot: true,
          runAsUser: 65_532,
          seccompProfile: { type: 'RuntimeDefault' },
        })
        expect(pod.containers).toHaveLength(1)
        expect(pod.containers[0].securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        })
      }
    }
  })

  it('have time to drain', async () => {
    const grace = async (...set: readonly string[]) =>
      workload(await objectsOf('metallb', ...set)).spec.template.spec.terminationGracePeriodSeconds as number
    expect(await grace()).toBe(30 + 30 + 1 + 15)
    expect(await grace('drain={"settle":"0s","spread":"10m","scrapeWait":"15s"}')).toBe(600 + 15 + 15)
  })

  it('are replaced one at a time, and evicted one at a time', async () => {
    const objects = await objectsOf('metallb')
    expect(workload(objects).spec).toMatchObject({
      updateStrategy: { type: 'RollingUpdate' },
      minReadySeconds: 30,
    })
    const { spec } = objectOf(objects, 'PodDisruptionBudget')
    expect(spec.maxUnavailable).toBe(1)
    expect(spec.selector.matchLabels).toEqual(workload(objects).spec.selector.matchLabels)
    const onMachines = await objectsOf('host-network')
    expect(workload(onMachines).spec.updateStrategy.rollingUpdate).toEqual({ maxUnavailable: 1, maxSurge: 0 })
    expect(onMachines.some(({ kind }) => kind === 'PodDisruptionBudget')).toBe(false)
  })

  it('are restarted for a setting that needs it, and for no other', async () => {
    const template = async (...set: readonly string[]) =>
      JSON.stringify(workload(await objectsOf('metallb', ...set)).spec.template)
    const before = await template()
    expect(await template('settings.threads=3')).not.toBe(before)
    expect(await template('regions.900.nodes[1].hostname="new.example.com"')).not.toBe(before)
    expect(await template('settings.log-level="debug"')).toBe(before)
    expect(await template('admission.verifyClientUrl="https://other.example.com"')).toBe(before)
    expect(await template('regions.901.state="draining"')).toBe(before)
  })

  it('read the list of keys as a folder, which Kubernetes renews, alone or beside the URL', async () => {
    const list = 'admission.keysConfigMap={"name":"members","key":"list.txt"}'
    for (const set of [[list], [list, 'admission.verifyClientUrl=""']]) {
      const objects = await objectsOf('metallb', ...set)
      const pod = workload(objects).spec.template.spec
      expect(pod.volumes).toContainEqual({ name: 'allowed', configMap: { name: 'members' } })
      const mount = { name: 'allowed', mountPath: '/etc/derpfleet/allowed', readOnly: true }
      expect(pod.containers[0].volumeMounts).toContainEqual(mount)
      const { data = {} } = objectOf(objects, 'ConfigMap', 'fra-derpfleet-settings')
      const settings = data['fra-derpfleet-0.yaml'] ?? ''
      expect(settings).toContain('allow-keys-file: /etc/derpfleet/allowed/list.txt\n')
      expect(settings.includes('verify-client-url')).toBe(set.length === 1)
    }
  })

  it('read the lease as a folder, alone or beside the list', async () => {
    const lease = 'admission.leaseConfigMap={"name":"leases","key":"a.lease"}'
    const alone = [lease, 'admission.leaseKeys=["KEY"]', 'admission.verifyClientUrl=""']
    for (const set of [alone, [...alone, 'admission.keysConfigMap.name="members"']]) {
      const objects = await objectsOf('metallb', ...set)
      const pod = workload(objects).spec.template.spec
      expect(pod.volumes).toContainEqual({ name: 'lease', configMap: { name: 'leases' } })
      const mount = { name: 'lease', mountPath: '/etc/derpfleet/lease', readOnly: true }
      expect(pod.containers[0].volumeMounts).toContainEqual(mount)
      const { data = {} } = objectOf(objects, 'ConfigMap', 'fra-derpfleet-settings')
      const settings = Object.values(data).join('')
      expect(settings).toMatch(/lease-file: \/etc\/derpfleet\/lease\/a\.lease\nlease-key:\n- KEY\n/)
    }
  })

  it('keep their volumes after the release only if that is wanted', async () => {
    const policy = async (example: string) =>
      workload(await objectsOf(example)).spec.persistentVolumeClaimRetentionPolicy as object
    expect(await policy('metallb')).toEqual({ whenDeleted: 'Retain', whenScaled: 'Retain' })
    expect(await policy('split-protocols')).toEqual({ whenDeleted: 'Delete', whenScaled: 'Delete' })
  })
})

describe.skipIf('missing' in programs)('relays on machines of their own', () => {
  it('run on the machine that has their address, with the settings of that machine', async () => {
    const { kind, spec } = workload(await objectsOf('host-network'))
    expect(kind).toBe('DaemonSet')
    const pod = spec.template.spec
    expect(pod.hostNetwork).toBe(true)
    const terms = pod.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms
    expect(terms.map((one: { matchFields: unknown }) => one.matchFields)).toEqual([
      [{ key: 'metadata.name', operator: 'In', values: ['fra-1'] }],
      [{ key: 'metadata.name', operator: 'In', values: ['fra-2'] }],
    ])
    expect(pod.containers[0].env.slice(0, 2)).toEqual([
      { name: 'MACHINE_NAME', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
      { name: 'DERPFLEET_CONFIG', value: '/etc/derpfleet/settings/$(MACHINE_NAME).yaml' },
    ])
  })

  it('show metrics to nobody outside the machine, unless monitors need them', async () => {
    const hidden = ['metrics.podMonitor.enabled=false', 'exposure.hostNetwork.admin="loopback"']
    const settings = async (...set: readonly string[]) =>
      objectOf(await objectsOf('host-network', ...set), 'ConfigMap', 'fra-derpfleet-settings').data?.[
        'fra-1.yaml'
      ]
    expect(await settings(...hidden)).toMatch(/^admin: 127\.0\.0\.1:9090$/m)
    const pod = workload(await objectsOf('host-network', ...hidden)).spec.template.spec
    expect(pod.containers[0].livenessProbe.httpGet.host).toBe('127.0.0.1')
    expect(pod.containers[0].ports).toBeUndefined()
    expect(await settings()).not.toMatch(/^admin/m)
    expect(workload(await objectsOf('host-network')).spec.template.spec.containers[0].env).toContainEqual({
      name: 'DERPFLEET_ADMIN',
      value: '$(HOST_IP):9090',
    })
  })

  it('have ports of the machine that lead to the pod', async () => {
    const { ports } = workload(await objectsOf('host-port')).spec.template.spec.containers[0]
    const pairs = ports.map((one: { hostPort?: number; containerPort: number }) => [
      one.hostPort,
      one.containerPort,
    ])
    expect(pairs).toEqual([
      [8443, 8443],
      [80, 8080],
      [3479, 3478],
      [undefined, 9090],
    ])
    const set = 'regions.902.nodes[0].derpport=80'
    const onPort80 = workload(await objectsOf('host-port', set)).spec.template.spec.containers[0].ports
    expect(onPort80.map((one: { hostPort?: number }) => one.hostPort)).toEqual([
      80,
      undefined,
      3479,
      undefined,
    ])
  })
})

describe.skipIf('missing' in programs)('the Job of helm test', () => {
  it('ends before Helm stops waiting for it, after attempts that outlast a slow load balancer', async () => {
    const { spec } = objectOf(await objectsOf('metallb'), 'Job')
    const [helmWaitsS, firstPauseS, loadBalancerS] = [300, 10, 60]
    expect(spec.activeDeadlineSeconds).toBeLessThan(helmWaitsS)
    // Kubernetes doubles the pause after each failure.
    const pausesS = firstPauseS * (2 ** spec.backoffLimit - 1)
    expect(pausesS).toBeGreaterThan(loadBalancerS)
    expect(pausesS).toBeLessThan(spec.activeDeadlineSeconds)
  })
})

describe.skipIf('missing' in programs)('what stands around the relays', () => {
  it('a NetworkPolicy admits clients from everywhere, and to metrics only who is named', async () => {
    const { spec } = objectOf(await objectsOf('everything'), 'NetworkPolicy')
    expect(spec.ingress).toEqual([
      { ports: [port('derp'), port('http'), port('stun', 'UDP')] },
      {
        from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }],
        ports: [port('admin')],
      },
    ])
    const open = spec.egress.flatMap((one: { ports: { port: number; protocol: string }[] }) =>
      one.ports.map((each) => `${each.protocol} ${each.port}`),
    )
    expect(open).toEqual(['UDP 53', 'UDP 3478', 'TCP 53', 'TCP 80', 'TCP 443', 'TCP 8443', 'TCP 4222'])
    expect(spec.podSelector.matchLabels).toEqual(
      workload(await objectsOf('everything')).spec.selector.matchLabels,
    )
  })
  function port(name: string, protocol = 'TCP'): object {
    return { port: name, protocol }
  }

  it('a Certificate for each host name, where the pod looks for it', async () => {
    const objects = await objectsOf('everything')
    const certificates = objects.filter(({ kind }) => kind === 'Certificate').map(({ spec }) => spec)
    expect(certificates.map(({ secretName, dnsNames }) => [secretName, dnsNames])).toEqual([
      ['fra-derpfleet-900a-tls', ['derp1.fra.example.com']],
      ['fra-derpfleet-900b-tls', ['derp2.fra.example.com']],
    ])
    const volume = workload(objects).spec.template.spec.volumes.find(
      (one: { name: string }) => one.name === 'certs',
    )
    const sources = volume.projected.sources as readonly {
      secret: { name: string; items: { path: string }[] }
    }[]
    expect(sources.map(({ secret }) => [secret.name, secret.items.map(({ path }) => path)])).toEqual([
      ['fra-derpfleet-900a-tls', ['derp1.fra.example.com.crt', 'derp1.fra.example.com.key']],
      ['fra-derpfleet-900b-tls', ['derp2.fra.example.com.crt', 'derp2.fra.example.com.key']],
    ])
  })

  it('a Certificate for an address', async () => {
    const set = ['regions.900.nodes[0].hostname="192.0.2.1"', 'regions.900.nodes[1].hostname="2001:db8::2"']
    const specs = (await objectsOf('everything', ...set))
      .filter(({ kind }) => kind === 'Certificate')
      .map(({ spec }) => spec)
    expect(specs.map(({ ipAddresses, dnsNames }) => [ipAddresses, dnsNames])).toEqual([
      [['192.0.2.1'], undefined],
      [['2001:db8::2'], undefined],
    ])
  })

  it('no Secret that the chart makes up, and one for a key that is given', async () => {
    for (const example of EXAMPLES) {
      const secrets = (await objectsOf(example)).filter(({ kind }) => kind === 'Secret')
      expect(secrets, example).toHaveLength(example === 'cluster-ip' ? 1 : 0)
    }
    expect(await chart.manifests({ values: [FLEET_FILE, examplePath('everything')] })).toBe(
      await chart.manifests({ values: [FLEET_FILE, examplePath('everything')] }),
    )
  })

  it('monitors find the relays under the job of the alerts', async () => {
    const { spec } = objectOf(await objectsOf('everything'), 'PodMonitor')
    expect(spec).toMatchObject({
      jobLabel: 'app.kubernetes.io/name',
      podMetricsEndpoints: [{ port: 'admin', path: '/metrics' }],
    })
    // Prometheus Operator finds only ports that a container declares.
    for (const example of EXAMPLES) {
      const { ports } = workload(await objectsOf(example)).spec.template.spec.containers[0]
      expect(ports, example).toContainEqual({ name: 'admin', containerPort: 9090, protocol: 'TCP' })
    }
    const set = ['metrics.podMonitor.enabled=false', 'metrics.serviceMonitor.enabled=true']
    const objects = await objectsOf('everything', ...set)
    const wanted = objectOf(objects, 'ServiceMonitor').spec.selector.matchLabels as Readonly<
      Record<string, string>
    >
    const found = objects.filter(
      ({ kind, metadata }) =>
        kind === 'Service' &&
        Object.entries(wanted).every(([name, value]) => metadata.labels?.[name] === value),
    )
    expect(found.map(({ metadata }) => metadata.name)).toEqual(['fra-derpfleet-pods'])
    for (const labels of [found[0]?.metadata.labels, workload(objects).spec.template.metadata.labels]) {
      expect(labels).toMatchObject({ 'app.kubernetes.io/name': 'derpfleet' })
    }
  })

  it('the alerts and dashboards of the project, with links to where people read the runbooks', async () => {
    expect(filesOfTheChart(), 'run node deploy/helm/write.ts').toEqual(copiedFiles())
    const objects = await objectsOf('everything', 'metrics.runbooks="https://git.example.com/runbooks"')
    const rules = objects.filter(({ kind }) => kind === 'PrometheusRule').map(({ spec }) => spec as unknown)
    const boards = objects.flatMap(({ metadata, data = {} }) =>
      metadata.labels?.grafana_dashboard === '1' ? Object.values(data) : [],
    )
    const expected = Object.entries(copiedFiles()).map(([path, text]) => {
      const linked = text.replaceAll('docs/runbooks', 'https://git.example.com/runbooks')
      return path.startsWith('rules/') ? (parse(linked) as unknown) : linked.trimEnd()
    })
    expect([...rules, ...boards.map((text) => text.trimEnd())]).toEqual(expected)
    expect(rules.length).toBeGreaterThan(0)
    expect(boards.length).toBeGreaterThan(0)
  })

  it('further objects, as templates too', async () => {
    expect(objectOf(await objectsOf('everything'), 'ConfigMap', 'fra-owner').data).toEqual({
      team: 'network',
    })
  })
})
