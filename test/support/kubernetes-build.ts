// The recipes of a Kubernetes cluster without machines: the API server, its controllers, scheduler and client, etcd, KWOK,
// which plays the machines, and the kinds that operators add. Modules whose go.mod replaces others by folders beside them are
// built with the released versions of these. foreign.ts keeps the programs.

import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  buildInModule,
  copyGoMod,
  downloadModule,
  goNeeded,
  moduleRecipe,
  needGo,
  type Recipe,
} from './foreign-build.ts'

/** The newest one of the chart. */
export const KUBERNETES_VERSION = '1.37.2'
const etcdVersion = '3.7.3'
const kwokVersion = '0.8.0'

/** The definitions of kinds by operators: of these modules, these files. */
export const CUSTOM_KINDS = {
  'prometheus-operator-kinds': {
    module: 'github.com/prometheus-operator/prometheus-operator',
    version: '0.85.0',
    files: ['podmonitors', 'servicemonitors', 'prometheusrules'].map(
      (name) => `example/prometheus-operator-crd/monitoring.coreos.com_${name}.yaml`,
    ),
  },
  'cert-manager-kinds': {
    module: 'github.com/cert-manager/cert-manager',
    version: '1.21.2',
    files: ['deploy/crds/cert-manager.io_certificates.yaml'],
  },
} as const

export const kubernetesRecipes = {
  'kube-apiserver': kubernetesRecipe('kube-apiserver'),
  'kube-controller-manager': kubernetesRecipe('kube-controller-manager'),
  'kube-scheduler': kubernetesRecipe('kube-scheduler'),
  kubectl: kubernetesRecipe('kubectl'),
  etcd: { version: etcdVersion, build: buildEtcd },
  kwok: moduleRecipe('kwok', 'sigs.k8s.io/kwok/cmd/kwok', kwokVersion),
  'prometheus-operator-kinds': kindsRecipe('prometheus-operator-kinds'),
  'cert-manager-kinds': kindsRecipe('cert-manager-kinds'),
} as const satisfies Record<string, Recipe>

function kubernetesRecipe(name: string): Recipe {
  const [major = '', minor = ''] = KUBERNETES_VERSION.split('.')
  const said = { gitVersion: `v${KUBERNETES_VERSION}`, gitMajor: major, gitMinor: minor }
  const packages = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version']
  // Without it, the programs say that they are version 0.0.0, which Helm does not accept for the chart.
  const flags = packages.flatMap((one) =>
    Object.entries(said).map(([variable, value]) => `-X ${one}.${variable}=${value}`),
  )
  return {
    version: KUBERNETES_VERSION,
    build: (folder) =>
      buildWithReleases(
        {
          module: `k8s.io/kubernetes@v${KUBERNETES_VERSION}`,
          packagePath: `./cmd/${name}`,
          releases: `v0.${minor}.${KUBERNETES_VERSION.split('.')[2]}`,
          flags: ['-trimpath', '-ldflags', ['-s -w', ...flags].join(' ')],
        },
        folder,
      ),
  }
}

async function buildEtcd(folder: string): Promise<string> {
  const module = `go.etcd.io/etcd/server/v3@v${etcdVersion}`
  const what = { module, packagePath: '.', releases: `v${etcdVersion}`, flags: ['-trimpath'] }
  return await buildWithReleases(what, folder)
}

interface Building {
  readonly module: string
  readonly packagePath: string
  /** The version of the modules that the module takes from folders beside it. */
  readonly releases: string
  readonly flags: readonly string[]
}

async function buildWithReleases(what: Building, folder: string): Promise<string> {
  await needGo(goNeeded.client)
  const module = await downloadModule(what.module, {}, folder)
  const modFile = await copyGoMod(module, folder)
  const text = await readFile(modFile, 'utf8')
  const released = text.replaceAll(/^(\s*(\S+) => )\.\S+$/gm, `$1$2 ${what.releases}`)
  if (released === text) throw new Error(`${what.module} replaces no modules by folders`)
  await writeFile(modFile, released)
  // The sums of the released modules are not in the module's own file.
  return await buildInModule({
    module,
    modFile,
    packagePath: what.packagePath,
    flags: ['-mod=mod', ...what.flags],
    env: { CGO_ENABLED: '0' },
    folder,
  })
}

/** One file for kubectl, which is no program. */
function kindsRecipe(name: keyof typeof CUSTOM_KINDS): Recipe {
  const { module, version, files } = CUSTOM_KINDS[name]
  return {
    version,
    build: async (folder) => {
      await needGo(goNeeded.fetchesToolchains)
      const source = await downloadModule(`${module}@v${version}`, {}, folder)
      const texts = await Promise.all(files.map(async (file) => await readFile(join(source, file), 'utf8')))
      const made = join(folder, 'kinds.yaml')
      await writeFile(made, texts.join('\n---\n'))
      // The cache looks for programs.
      await chmod(made, 0o755)
      return made
    },
  }
}
