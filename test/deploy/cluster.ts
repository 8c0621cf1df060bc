// A Kubernetes cluster on loopback: etcd, the API server with its admission and authorization, the controllers, the scheduler, and
// KWOK in the place of machines, volumes and load balancers (kwok.yaml). No container runs. The kinds of Prometheus Operator
// and cert-manager are there, the operators are not.

import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KubernetesObject } from '../chart/chart.ts'
import type { kubernetesRecipes } from '../support/kubernetes-build.ts'
import {
  freePort,
  runOk,
  runProcess,
  startProcess,
  waitUntil,
  type RunningProcess,
  type RunOptions,
  type RunResult,
} from '../support/process.ts'

export type ClusterPrograms = Readonly<Record<keyof typeof kubernetesRecipes, string>>

/** With room for relays that want machines of their own: those of the chart's examples. */
const MACHINES = [
  { name: 'fra-1', zone: 'a' },
  { name: 'fra-2', zone: 'b' },
  { name: 'lab-1', zone: 'c' },
  { name: 'large-1', zone: 'a', type: 'large', taints: [{ key: 'relay', effect: 'NoSchedule' }] },
  { name: 'large-2', zone: 'b', type: 'large', taints: [{ key: 'relay', effect: 'NoSchedule' }] },
]

/** Made and removed all the time, by no release. */
const PASSING_KINDS = /^(?:events|leases|componentstatuses|endpoints)\b/
/** It waits for pods that wait for each other. */
const KUBECTL_TIMEOUT_MS = 180_000
const TOKEN = 'administrator'

export class Cluster implements AsyncDisposable {
  readonly #programs: ClusterPrograms
  readonly #folder: string
  readonly #running: RunningProcess[] = []
  #kinds = ''

  private constructor(programs: ClusterPrograms) {
    this.#programs = programs
    this.#folder = mkdtempSync(join(tmpdir(), 'derpfleet-cluster-'))
  }

  static async start(programs: ClusterPrograms): Promise<Cluster> {
    const cluster = new Cluster(programs)
    try {
      const [etcdPort, port, kubeletPort] = [await freePort(), await freePort(), await freePort()]
      await cluster.#startEtcd(etcdPort)
      await cluster.#startApi(port, etcdPort)
      await cluster.#startControllers(kubeletPort)
      await cluster.#furnish()
      return cluster
    } catch (error) {
      await cluster[Symbol.asyncDispose]()
      throw error
    }
  }

  /** What `kubectl logs` prints of any pod: lines as container runtimes write them. One pod at a time has a log. */
  get logsFile(): string {
    return this.#at('pods.log')
  }

  async kubectl(...args: readonly string[]): Promise<string> {
    return await runOk(this.#programs.kubectl, args, { ...this.#options(), timeoutMs: KUBECTL_TIMEOUT_MS })
  }

  /** kubectl, with the text at its standard input. */
  async kubectlWith(input: string, ...args: readonly string[]): Promise<string> {
    return await runOk(this.#programs.kubectl, args, { ...this.#options(), input })
  }

  /** `kubectl apply` of the text by the server. */
  async apply(text: string, ...args: readonly string[]): Promise<RunResult> {
    const all = ['apply', '--server-side', ...args, '--filename=-']
    return await runProcess(this.#programs.kubectl, all, { ...this.#options(), input: text })
  }

  /** Objects of the kind, by kubectl's own arguments. */
  async get(...args: readonly string[]): Promise<readonly KubernetesObject[]> {
    const { items } = JSON.parse(await this.kubectl('get', ...args, '--output=json')) as {
      readonly items: readonly KubernetesObject[]
    }
    return items
  }

  /** Runs helm, of either version, for this cluster. */
  async helm(program: string, args: readonly string[], timeoutMs = 180_000): Promise<RunResult> {
    return await runProcess(program, args, { ...this.#options(), timeoutMs })
  }

  /** `KIND NAMESPACE/NAME` of every object there is, of all kinds. */
  async everything(): Promise<readonly string[]> {
    const each = '{range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{"\\n"}{end}'
    const printed = await this.kubectl('get', this.#kinds, '--all-namespaces', `--output=jsonpath=${each}`)
    return printed.trim().split('\n').toSorted()
  }

  /** A namespace, with what Kubernetes puts into each. */
  async namespace(name: string, podSecurity: 'restricted' | 'privileged'): Promise<void> {
    await this.kubectl('create', 'namespace', name)
    const levels = ['enforce', 'warn'].map((mode) => `pod-security.kubernetes.io/${mode}=${podSecurity}`)
    await this.kubectl('label', 'namespace', name, ...levels)
    await waitUntil(`the namespace ${name} is furnished`, async () => {
      const found = await this.get('serviceaccounts,configmaps', `--namespace=${name}`)
      return found.length >= 2
    })
  }

  /** The last ones started end first. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.#running.toReversed()) await one.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #startEtcd(port: number): Promise<void> {
    const [client, peer] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${await freePort()}`]
    await this.#start('etcd', /ready to serve client requests/, [
      '--unsafe-no-fsync',
      `--data-dir=${this.#at('etcd')}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
    ])
  }

  async #startApi(port: number, etcdPort: number): Promise<void> {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const [publicPath, privatePath] = [this.#at('accounts.pub'), this.#at('accounts.key')]
    writeFileSync(publicPath, publicKey.export({ format: 'pem', type: 'spki' }))
    writeFileSync(privatePath, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 })
    writeFileSync(this.#at('tokens.csv'), `${TOKEN},admin,1,system:masters\n`, { mode: 0o600 })
    writeFileSync(this.#at('kubeconfig'), kubeconfig(`https://127.0.0.1:${port}`), { mode: 0o600 })
    const isReady = async (): Promise<boolean> => (await this.kubectl('get', '--raw=/readyz')) === 'ok'
    await this.#start('kube-apiserver', isReady, [
      `--etcd-servers=http://127.0.0.1:${etcdPort}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      `--secure-port=${port}`,
      `--cert-dir=${this.#at('api')}`,
      // A loopback address is no endpoint, which the API server would end for.
      '--endpoint-reconciler-type=none',
      '--authorization-mode=RBAC',
      `--token-auth-file=${this.#at('tokens.csv')}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${publicPath}`,
      `--service-account-signing-key-file=${privatePath}`,
      '--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112',
      '--kubelet-preferred-address-types=InternalIP',
    ])
  }

  async #startControllers(kubeletPort: number): Promise<void> {
    const config = [`--kubeconfig=${this.#at('kubeconfig')}`]
    const quiet = ['--leader-elect=false', '--authentication-skip-lookup=true', '--secure-port=0']
    const key = `--service-account-private-key-file=${this.#at('accounts.key')}`
    // The root authority is what every namespace gets to verify the API server by.
    const authority = `--root-ca-file=${this.#at('api/apiserver.crt')}`
    await this.#start('kube-controller-manager', undefined, [...config, ...quiet, key, authority])
    await this.#start('kube-scheduler', undefined, [
      ...config,
      ...quiet.slice(0, 2),
      `--secure-port=${await freePort()}`,
      '--bind-address=127.0.0.1',
    ])
    const stages = readFileSync(new URL('kwok.yaml', import.meta.url), 'utf8')
    writeFileSync(this.#at('kwok.yaml'), stages.replaceAll('LOGS_FILE', this.logsFile))
    writeFileSync(this.logsFile, '')
    await this.#start('kwok', undefined, [
      ...config,
      `--config=${this.#at('kwok.yaml')}`,
      '--manage-all-nodes=true',
      // Without leases, machines are given up after 50 s, and no pod on them is ready.
      '--node-lease-duration-seconds=40',
      '--node-ip=127.0.0.1',
      `--node-port=${kubeletPort}`,
      `--server-address=127.0.0.1:${kubeletPort}`,
      `--tls-cert-file=${this.#at('api/apiserver.crt')}`,
      `--tls-private-key-file=${this.#at('api/apiserver.key')}`,
    ])
  }

  /** Machines, a class of volumes, and the kinds that operators add. */
  async #furnish(): Promise<void> {
    const kinds = [this.#programs['prometheus-operator-kinds'], this.#programs['cert-manager-kinds']]
    const own = [...MACHINES.map(machine), STORAGE_CLASS].map((one) => JSON.stringify(one))
    const texts = [...kinds.map((path) => readFileSync(path, 'utf8')), ...own]
    const { code, stderr } = await this.apply(texts.join('\n---\n'))
    if (code !== 0) throw new Error(stderr)
    await this.kubectl('wait', '--for=condition=Established', '--all', 'customresourcedefinitions')
    await this.kubectl('wait', '--for=condition=Ready', '--all', 'nodes', '--timeout=60s')
    const names = (await this.kubectl('api-resources', '--verbs=list', '--output=name')).trim().split('\n')
    this.#kinds = names.filter((name) => !PASSING_KINDS.test(name)).join(',')
  }

  async #start(
    program: keyof typeof kubernetesRecipes,
    readyWhen: RegExp | (() => Promise<boolean>) | undefined,
    args: readonly string[],
  ): Promise<void> {
    const options = { env: this.#options().env ?? {}, ...(readyWhen === undefined ? {} : { readyWhen }) }
    this.#running.push(await startProcess(this.#programs[program], args, options))
  }

  #at(name: string): string {
    return join(this.#folder, name)
  }

  /** Nothing of the person who runs the tests: neither clusters nor helm's repositories. */
  #options(): RunOptions {
    return { env: { HOME: this.#folder, KUBECONFIG: this.#at('kubeconfig') }, cwd: this.#folder }
  }
}

const STORAGE_CLASS = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name: 'kwok', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
  provisioner: 'kwok.x-k8s.io',
}

function machine({ name, zone, type = 'small', taints }: (typeof MACHINES)[number]): object {
  const labels = {
    'kubernetes.io/hostname': name,
    'kubernetes.io/os': 'linux',
    'topology.kubernetes.io/zone': zone,
    'node.kubernetes.io/instance-type': type,
  }
  return { apiVersion: 'v1', kind: 'Node', metadata: { name, labels }, spec: { taints } }
}

/** The certificate is the API server's own, made when it starts. */
function kubeconfig(server: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'here', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'admin', user: { token: TOKEN } }],
    contexts: [{ name: 'here', context: { cluster: 'here', user: 'admin' } }],
    'current-context': 'here',
  })
}
