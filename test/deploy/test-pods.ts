// Plays the kubelet for the pods of `helm test`: gives each the ConfigMaps and Secrets of its volumes, runs its command by the
// built program, and tells Kubernetes how it ended. The image is not part of this.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { KubernetesObject } from '../chart/chart.ts'
import { runProcess, type RunResult } from '../support/process.ts'
import { PROGRAM } from '../support/program-path.ts'
import type { Cluster } from './cluster.ts'

const SELECTOR = '--selector=app.kubernetes.io/component=test'
const PROBE_TIMEOUT_MS = 60_000
/** Of a question that costs a tenth of a second. */
const INTERVAL_MS = 300

interface Mount {
  readonly name: string
  readonly mountPath: string
}

interface Volume {
  readonly name: string
  readonly configMap?: { readonly name: string }
  readonly secret?: { readonly secretName: string }
}

export class TestPods implements AsyncDisposable {
  readonly results: RunResult[] = []
  readonly #cluster: Cluster
  readonly #namespace: string
  readonly #folder = mkdtempSync(join(tmpdir(), 'derpfleet-test-pods-'))
  readonly #seen = new Set<string>()
  readonly #ended: Promise<void>
  #isEnding = false

  constructor(cluster: Cluster, namespace: string) {
    this.#cluster = cluster
    this.#namespace = `--namespace=${namespace}`
    this.#ended = this.#work()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnding = true
    await this.#ended
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #work(): Promise<void> {
    while (!this.#isEnding) {
      for (const pod of await this.#cluster.get('pods', SELECTOR, this.#namespace)) {
        if (pod.status?.phase !== 'Running' || this.#seen.has(pod.metadata.name)) continue
        this.#seen.add(pod.metadata.name)
        await this.#play(pod)
      }
      await sleep(INTERVAL_MS)
    }
  }

  async #play(pod: KubernetesObject): Promise<void> {
    const [container] = pod.spec.containers
    const root = join(this.#folder, pod.metadata.name)
    for (const { name, mountPath } of container.volumeMounts as readonly Mount[]) {
      const volume = (pod.spec.volumes as readonly Volume[]).find((one) => one.name === name)
      for (const [file, content] of await this.#contentOf(volume)) {
        const path = join(root, mountPath, file)
        mkdirSync(dirname(path), { recursive: true })
        writeFileSync(path, content, { mode: 0o600 })
      }
    }
    const args = (container.args as readonly string[]).map((arg) => {
      return arg.replaceAll('/etc/derpfleet/', `${root}/etc/derpfleet/`)
    })
    const startedAt = new Date().toISOString()
    const result = await runProcess(PROGRAM, args, { timeoutMs: PROBE_TIMEOUT_MS })
    this.results.push(result)
    const lines = `${result.stdout}${result.stderr}`.trimEnd().split('\n')
    const log = lines.map((line) => `${startedAt} stdout F ${line}\n`)
    writeFileSync(this.#cluster.logsFile, log.join(''))
    await this.#report(pod, result.code ?? 1, startedAt)
  }

  async #contentOf(volume: Volume | undefined): Promise<readonly (readonly [string, Buffer])[]> {
    const [kind, name] =
      volume?.secret === undefined
        ? ['configmap', volume?.configMap?.name ?? 'none']
        : ['secret', volume.secret.secretName]
    const field = `--field-selector=metadata.name=${name}`
    const [found] = await this.#cluster.get(kind, field, this.#namespace)
    if (found === undefined) throw new Error(`the volume ${volume?.name} has no ${kind} ${name}`)
    return Object.entries(found.data ?? {}).map(([file, text]) => {
      return [file, Buffer.from(text, kind === 'secret' ? 'base64' : 'utf8')]
    })
  }

  async #report(pod: KubernetesObject, exitCode: number, startedAt: string): Promise<void> {
    const [{ name, image }] = pod.spec.containers
    const finishedAt = new Date().toISOString()
    const reason = exitCode === 0 ? 'Completed' : 'Error'
    const state = { terminated: { exitCode, reason, startedAt, finishedAt } }
    const containerStatuses = [{ name, image, imageID: '', ready: false, restartCount: 0, state }]
    const status = { phase: exitCode === 0 ? 'Succeeded' : 'Failed', containerStatuses }
    const patch = ['--subresource=status', '--type=merge', `--patch=${JSON.stringify({ status })}`]
    await this.#cluster.kubectl('patch', 'pod', pod.metadata.name, this.#namespace, ...patch)
  }
}
