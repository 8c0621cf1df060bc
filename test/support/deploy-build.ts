// The recipes of the programs that only the tests of deployments use. They take long to build, so `npm run foreign` leaves them
// out; `npm run test:deploy` makes them first. foreign.ts keeps the programs.

import { access, chmod, copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  buildInModule,
  copyGoMod,
  downloadModule,
  go,
  goNeeded,
  moduleRecipe,
  needGo,
  type Recipe,
} from './foreign-build.ts'
import { kubernetesRecipes } from './kubernetes-build.ts'
import { runOk } from './process.ts'

const helmVersion = '3.22.0'
const kubeconformVersion = '0.8.0'
const helm4Version = '4.3.1'
const tofuVersion = '1.12.6'
const tflintVersion = '0.64.0'
/** HashiCorp's protocol between Terraform and its providers. */
const pluginVersion = '0.31.0'

export const deployRecipes = {
  helm: moduleRecipe('helm', 'helm.sh/helm/v3/cmd/helm', helmVersion),
  kubeconform: moduleRecipe(
    'kubeconform',
    'github.com/yannh/kubeconform/cmd/kubeconform',
    kubeconformVersion,
  ),
  'helm-4': moduleRecipe('helm', 'helm.sh/helm/v4/cmd/helm', helm4Version),
  tofu: { version: tofuVersion, build: buildTofu },
  tflint: moduleRecipe('tflint', 'github.com/terraform-linters/tflint', tflintVersion),
  'debian-root': { version: '12-1', build: buildDebianRoot },
  'stand-in-provider': { version: pluginVersion, build: buildStandInProvider },
  ...kubernetesRecipes,
} as const satisfies Record<string, Recipe>

/** It replaces a dependency, which `go install` refuses, so it is built in its own folder. */
async function buildTofu(folder: string): Promise<string> {
  await needGo(goNeeded.fetchesToolchains)
  const module = await downloadModule(`github.com/opentofu/opentofu@v${tofuVersion}`, {}, folder)
  const modFile = await copyGoMod(module, folder)
  return buildInModule({ module, modFile, packagePath: './cmd/tofu', env: { CGO_ENABLED: '0' }, folder })
}

/** A program of ours that has a provider's schema and nothing behind it. */
async function buildStandInProvider(folder: string): Promise<string> {
  await needGo(goNeeded.fetchesToolchains)
  await copyFile(new URL('../deploy/stand-in-provider/main.go', import.meta.url), join(folder, 'main.go'))
  await go(['mod', 'init', 'standin'], {}, folder)
  await go(['get', `github.com/hashicorp/terraform-plugin-go@v${pluginVersion}`], {}, folder)
  await go(['mod', 'tidy'], {}, folder)
  const made = join(folder, 'program')
  await go(['build', '-o', made, '.'], { CGO_ENABLED: '0' }, folder)
  return made
}

/**
 * A root file system as a cloud's image has it, packed: Debian with cloud-init and systemd, which never runs in it. From the
 * package sources of this machine.
 */
async function buildDebianRoot(folder: string): Promise<string> {
  if (process.getuid?.() !== 0) throw new Error('only root can make a root file system')
  await runOk('sh', [
    '-c',
    'command -v mmdebstrap || apt-get install -y -q --no-install-recommends mmdebstrap',
  ])
  const made = join(folder, 'root.tar')
  const sources = await firstOf('/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list')
  const packages = ['cloud-init', 'systemd', 'systemd-sysv', 'dbus', 'curl', 'ca-certificates', 'iproute2']
  const options = ['Acquire::Check-Valid-Until "false"', 'Apt::Install-Recommends "false"']
  const args = [
    '--variant=apt',
    `--include=${packages.join(',')}`,
    ...options.map((option) => `--aptopt=${option}`),
    'bookworm',
    made,
    sources,
  ]
  await runOk('mmdebstrap', args, { timeoutMs: 15 * 60_000 })
  // The cache looks for programs.
  await chmod(made, 0o755)
  return made
}

async function firstOf(...paths: readonly string[]): Promise<string> {
  for (const path of paths) {
    const isThere = await access(path).then(
      () => true,
      () => false,
    )
    if (isThere) return path
  }
  throw new Error(`this machine has none of ${paths.join(', ')}`)
}
