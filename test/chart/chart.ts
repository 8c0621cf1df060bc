// Renders the Helm chart by helm, and reads the objects back. Nothing is installed.

import { readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseAllDocuments } from 'yaml'
import { runProcess } from '../support/process.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

export const CHART = `${root}deploy/helm/derpfleet`
export const FLEET_FILE = `${root}regions.yaml`
const EXAMPLES_FOLDER = `${CHART}/examples`

/** Names of the examples. Each is for the regions of regions.yaml. */
export const EXAMPLES: readonly string[] = readdirSync(EXAMPLES_FOLDER).map((name) => basename(name, '.yaml'))

export function examplePath(name: string): string {
  return `${EXAMPLES_FOLDER}/${name}.yaml`
}

const NAMESPACE = 'derp'
const RELEASE = 'fra'
/** What the operators that the chart has objects for add to a cluster. */
const CUSTOM_APIS = ['monitoring.coreos.com/v1', 'cert-manager.io/v1']

export interface RenderOptions {
  /** Files of values; the fleet's file is the first. */
  readonly values: readonly string[]
  /** `NAME=VALUE`, as JSON. */
  readonly set?: readonly string[]
  /** The release is made for this version of Kubernetes. */
  readonly kubernetes?: string
  readonly showOnly?: string
  /** False: the cluster has Kubernetes' own kinds only. */
  readonly hasOperators?: boolean
}

export interface KubernetesObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
    /** Of objects in a cluster, as are the next one and the status. */
    readonly uid?: string
    readonly creationTimestamp?: string
  }
  readonly data?: Readonly<Record<string, string>>
  // oxlint-disable-next-line typescript/no-explicit-any -- as deep as the API
  readonly spec?: any
  // oxlint-disable-next-line typescript/no-explicit-any -- as deep as the API
  readonly status?: any
}

export class Chart {
  readonly #helm: string

  constructor(helm: string) {
    this.#helm = helm
  }

  async lint(options: RenderOptions): Promise<string> {
    const { code, stdout, stderr } = await runProcess(this.#helm, [
      'lint',
      '--strict',
      CHART,
      ...flags(options),
    ])
    if (code !== 0) throw new Error(stdout + stderr)
    return stdout
  }

  /** The manifests as they are applied. @throws Error with helm's message */
  async manifests(options: RenderOptions): Promise<string> {
    const { showOnly, hasOperators = true } = options
    const more = [
      ...(showOnly === undefined ? [] : ['--show-only', showOnly]),
      ...(hasOperators ? CUSTOM_APIS.flatMap((api) => ['--api-versions', api]) : []),
    ]
    return await this.#run(['template', RELEASE, CHART, ...flags(options), ...more])
  }

  async objects(options: RenderOptions): Promise<readonly KubernetesObject[]> {
    const documents = parseAllDocuments(await this.manifests(options))
    return documents.map((one) => one.toJS() as KubernetesObject | null).filter((one) => one !== null)
  }

  /** The message of the refusal; undefined if the values are accepted. */
  async refusal(options: RenderOptions): Promise<string | undefined> {
    return await this.manifests(options).then(
      () => undefined,
      (error: unknown) => String(error),
    )
  }

  /** What an installation prints at its end. Helm itself prints it only with a cluster, so a further object has it here. */
  async notes(options: RenderOptions): Promise<string> {
    const template = `apiVersion: v1
kind: ConfigMap
metadata: {name: notes}
data:
  notes: |-
    {{- include "derpfleet.notes" . | nindent 4 }}`
    const set = [...(options.set ?? []), `extraObjects=${JSON.stringify([template])}`]
    const objects = await this.objects({ ...options, set, showOnly: 'templates/extra.yaml' })
    return objectOf(objects, 'ConfigMap', 'notes').data?.notes ?? ''
  }

  async #run(args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await runProcess(this.#helm, args)
    if (code !== 0) throw new Error(stderr)
    return stdout
  }
}

function flags({ values, set = [], kubernetes = '1.37.2' }: RenderOptions): readonly string[] {
  return [
    '--namespace',
    NAMESPACE,
    '--kube-version',
    kubernetes,
    ...values.flatMap((path) => ['--values', path]),
    ...set.flatMap((one) => ['--set-json', one]),
  ]
}

/** The object of this kind, and of this name where there are several. */
export function objectOf(
  objects: readonly KubernetesObject[],
  kind: string,
  name?: string,
): KubernetesObject {
  const found = objects.filter(
    (one) => one.kind === kind && (name === undefined || one.metadata.name === name),
  )
  const [only] = found
  if (only === undefined || found.length > 1) throw new Error(`${found.length} of ${kind} ${name ?? ''}`)
  return only
}
