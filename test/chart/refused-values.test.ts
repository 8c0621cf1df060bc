// Values that make no sense are refused before anything is installed, with a message that names the value.

import { describe, expect, it } from 'vitest'
import { foreignPrograms } from '../support/foreign.ts'
import { Chart, examplePath, FLEET_FILE } from './chart.ts'

const programs = await foreignPrograms('helm')
const chart = new Chart('paths' in programs ? programs.paths.helm : '')

/** By the schema: the example, a value as JSON, and what the message has. */
const BY_SCHEMA: readonly (readonly [string, string, RegExp])[] = [
  ['metallb', 'exposure.mode="nodePort"', /'\/exposure\/mode': value must be one of 'perPodLoadBalancer'/],
  ['metallb', 'externalTrafficPolicy="Cluster"', /'externalTrafficPolicy' not allowed/],
  ['metallb', 'exposure.loadBalancer.externalTrafficPolicy="Cluster"', /'externalTrafficPolicy' not allowed/],
  ['metallb', 'autoscaling.enabled=true', /'autoscaling' not allowed/],
  ['metallb', 'replicas=3', /'replicas' not allowed/],
  ['metallb', 'region="fra"', /'\/region': got string, want integer/],
  [
    'metallb',
    'regions.900.nodes[0].hostnam="x"',
    /'\/regions\/900\/nodes\/0': additional properties 'hostnam' not allowed/,
  ],
  ['metallb', 'regions.900.state="on"', /'\/regions\/900\/state': value must be one of 'active'/],
  ['metallb', 'regions.900.latitude=91', /'\/regions\/900\/latitude': maximum: got 91, want 90/],
  ['metallb', 'regions.900.name="a\\nb"', /'\/regions\/900\/name': 'a\\nb' does not match pattern/],
  ['metallb', 'regions.900.code=false', /'\/regions\/900\/code': .*got boolean, want string/s],
  [
    'metallb',
    'regions.fra={"code":"fra","nodes":[]}',
    /'\/regions': additional properties 'fra' not allowed/,
  ],
  [
    'metallb',
    'nodes.900a.kubernetesnode="x"',
    /'\/nodes\/900a': additional properties 'kubernetesnode' not allowed/,
  ],
  ['metallb', 'nodes.900a.loadBalancerIP="192.0.2"', /'192.0.2' is not valid ipv4/],
  ['metallb', 'drain.settle="30"', /'\/drain\/settle': '30' does not match pattern/],
  ['metallb', 'settings.log-levl="info"', /'\/settings': additional properties 'log-levl' not allowed/],
  ['metallb', 'settings.log-level="loud"', /'\/settings\/log-level': value must be one of/],
  ['metallb', 'settings.listen=":443"', /'\/settings': additional properties 'listen' not allowed/],
  [
    'metallb',
    'settings.acme-eab-key="secret"',
    /'\/settings': additional properties 'acme-eab-key' not allowed/,
  ],
  ['metallb', 'image.digest="latest"', /'\/image\/digest': 'latest' does not match pattern/],
  ['metallb', 'tls.mode="manual"', /'\/tls\/mode': value must be one of 'acme', 'certManager', 'secrets'/],
  ['metallb', 'mesh.key="abc"', /'\/mesh\/key': 'abc' does not match pattern/],
  ['metallb', 'admission.verifyClientUrl="headscale.example.com"', /'\/admission\/verifyClientUrl'/],
  ['metallb', 'nats.urls=["nats.example.com"]', /'\/nats\/urls\/0'/],
  ['metallb', 'persistence.size="64M"', /'\/persistence\/size': '64M' does not match pattern/],
]

/** By the templates: what more than one value says. */
const BY_TEMPLATES: readonly (readonly [string, string, RegExp])[] = [
  [
    'metallb',
    'regions.900.nodes[1].name="_b"',
    /regions\.900\.nodes: the name "_b" is no label of Kubernetes/,
  ],
  ['metallb', 'region=905', /region: 905 is not in regions; expected one of 900, 901, 902/],
  ['metallb', 'nodes.900x={}', /nodes\.900x: no relay in regions has this name; expected one of 900a, 900b/],
  [
    'metallb',
    'nodes.900a.kubernetesNode="w"',
    /nodes\.900a\.kubernetesNode: has no effect with exposure\.mode perPod/,
  ],
  [
    'metallb',
    'regions.900.nodes[1].name="901a"',
    /regions\.901\.nodes\[0\]\.name: "901a" is already used in region 900/,
  ],
  [
    'metallb',
    'regions.0900={"code":"x","nodes":[{"name":"x","hostname":"x"}]}',
    /regions\.\d+: is region 900, like another/,
  ],
  ['metallb', 'regions.902.nodes[0].certname="x"', /regions\.902\.nodes\[0\]\.pin: conflicts with certname/],
  [
    'metallb',
    'regions={"900":{"code":"x","state":"off","nodes":[{"name":"900a","hostname":"x"}]}}',
    /all regions are off/,
  ],
  [
    'gke',
    'regions.900.nodes=[{"name":"s","hostname":"x","standby":true}]',
    /region: 900 has no relay of its own/,
  ],
  [
    'metallb',
    'mesh.existingSecret=""',
    /mesh\.existingSecret: is not set; expected a Secret with the mesh key/,
  ],
  ['metallb', `mesh.key="${'1f'.repeat(32)}"`, /mesh\.key: conflicts with mesh\.existingSecret/],
  ['metallb', 'admission={"verifyClientUrl":""}', /admission: none of verifyClientUrl.*expected one/],
  ['metallb', 'admission.open=true', /admission\.open: conflicts with verifyClientUrl/],
  ['metallb', 'admission.leaseConfigMap.name="lease"', /admission\.leaseKeys: says whose signature counts/],
  ['metallb', 'admission.leaseKeys=["MCow"]', /admission\.leaseKeys: .*expected both or neither/],
  ['cluster-ip', 'admission.keysConfigMap.name="keys"', /admission\.open: conflicts with .*keysConfigMap/],
  [
    'metallb',
    'admission.verifyClientUrlSecret.name="x"',
    /admission\.verifyClientUrl: conflicts with verify/,
  ],
  ['cluster-ip', 'admission.failOpen=true', /admission\.failOpen: has no effect without verifyClientUrl/],
  ['metallb', 'tls.mode="secrets"', /nodes\.900a\.tlsSecret: is not set; .*derp1\.fra\.example\.com/],
  ['metallb', 'tls.mode="certManager"', /tls\.certManager\.issuerRef\.name: is not set/],
  ['metallb', 'tls.acme.authority="gcp"', /tls\.acme\.eabSecret: is not set/],
  ['host-port', 'tls.acme.eabSecret="x"', /tls\.acme\.eabSecret: has no effect with tls\.mode secrets/],
  [
    'metallb',
    'persistence.enabled=false',
    /persistence\.enabled: is false; expected true with tls\.mode acme/,
  ],
  [
    'metallb',
    'persistence.hostPath="/x"',
    /persistence\.hostPath: has no effect with exposure\.mode perPodLoadBalancer/,
  ],
  ['host-network', 'persistence.hostPath=""', /persistence\.hostPath: is not set/],
  ['host-network', 'nodes.900a={}', /nodes\.900a\.kubernetesNode: is not set/],
  [
    'host-network',
    'nodes.900b.kubernetesNode="fra-1"',
    /nodes\.900b\.kubernetesNode: fra-1 is already the machine of 900a/,
  ],
  [
    'host-network',
    'networkPolicy.enabled=true',
    /networkPolicy\.enabled: .* no effect with exposure\.mode hostNetwork/,
  ],
  [
    'host-network',
    'exposure.hostNetwork.admin="loopback"',
    /exposure\.hostNetwork\.admin: is loopback, which monitors/,
  ],
  ['host-network', 'exposure.hostNetwork.httpPort=9090', /httpPort: 9090 is the port of metrics and health/],
  ['host-network', 'exposure.hostNetwork.httpPort=443', /httpPort: 443 is the derpport of 900a as well/],
  [
    'host-network',
    'regions.900.nodes[1].derpport=9090',
    /regions\.900\.nodes: 900b has the derpport 9090, which is the port of metrics/,
  ],
  ['host-network', 'test.through="pods"', /test\.through: pods have no names/],
  [
    'host-network',
    'metrics.serviceMonitor.enabled=true',
    /metrics\.serviceMonitor\.enabled: .*one of the two/,
  ],
  [
    'host-port',
    'regions.902.nodes[1]={"name":"b","hostname":"b.example"}',
    /nodes\.b\.kubernetesNode: is not set/,
  ],
  ['cluster-ip', 'tls={"mode":"acme"}', /tls\.mode acme/],
  ['cluster-ip', 'test.through="public"', /test\.through: public needs an address outside the cluster/],
  ['everything', 'nats.secretSecret.name=""', /nats\.secretSecret\.name: is not set/],
  ['everything', 'nats.urls=[]', /nats\.urls: is empty/],
]

describe.skipIf('missing' in programs)('the chart refuses', () => {
  it.each(BY_SCHEMA)('by its schema, in %s: %s', async (example, set, message) => {
    const refusal = await chart.refusal({ values: [FLEET_FILE, examplePath(example)], set: [set] })
    expect(refusal).toMatch(/don't meet the specifications of the schema/)
    expect(refusal).toMatch(message)
  })

  it.each(BY_TEMPLATES)('by its templates, in %s: %s', async (example, set, message) => {
    expect(await chart.refusal({ values: [FLEET_FILE, examplePath(example)], set: [set] })).toMatch(message)
  })

  it('a release without regions, and one without a region', async () => {
    expect(await chart.refusal({ values: [examplePath('metallb')] })).toMatch(/'\/regions': minProperties/)
    expect(await chart.refusal({ values: [FLEET_FILE] })).toMatch(/missing property 'region'/)
  })

  it.each([
    [
      'metrics.podMonitor.enabled=true',
      /metrics\.podMonitor\.enabled: the cluster has no monitoring\.coreos\.com\/v1/,
    ],
    ['metrics.rules.enabled=true', /metrics\.rules\.enabled: the cluster has no monitoring\.coreos\.com\/v1/],
    [
      'tls={"mode":"certManager","certManager":{"issuerRef":{"name":"x"}}}',
      /tls\.mode: the cluster has no cert-manager/,
    ],
  ])('objects that the cluster does not know: %s', async (set, message) => {
    const options = { values: [FLEET_FILE, examplePath('metallb')], set: [set], hasOperators: false }
    expect(await chart.refusal(options)).toMatch(message)
    expect(await chart.refusal({ ...options, hasOperators: true })).toBeUndefined()
  })

  it('a Kubernetes that is too old', async () => {
    const options = { values: [FLEET_FILE, examplePath('metallb')], kubernetes: '1.30.0' }
    expect(await chart.refusal(options)).toMatch(/requires kubeVersion: >=1\.31\.0-0/)
  })
})
