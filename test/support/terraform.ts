// Terraform and OpenTofu for tests of the modules in deploy/terraform: in copies of their folders, with providers from a
// folder of this machine and from nowhere else. Where a real provider is not at hand, a stand-in has its schema
// (test/deploy/stand-in-provider): it finds unknown and missing arguments, and knows nothing of values.

import { spawnSync } from 'node:child_process'
import { copyFile, cp, link, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { foreign } from './foreign.ts'
import { runProcess, type RunResult } from './process.ts'

export interface TerraformTool {
  readonly name: 'terraform' | 'tofu'
  readonly path: string
}

/** Those that this machine has. A missing one is named on standard error. */
export async function terraformTools(): Promise<readonly TerraformTool[]> {
  const tools: TerraformTool[] = []
  if (spawnSync('terraform', ['version']).status === 0) tools.push({ name: 'terraform', path: 'terraform' })
  else process.stderr.write('SKIPPING tests with Terraform: it is not on the PATH\n')
  const tofu = await foreign('tofu')
  if ('path' in tofu) tools.push({ name: 'tofu', path: tofu.path })
  else process.stderr.write(`SKIPPING tests with OpenTofu: ${tofu.missing}\n`)
  return tools
}

export const DEPLOY = fileURLToPath(new URL('../../deploy', import.meta.url))
const SCHEMAS = fileURLToPath(new URL('../deploy/provider-schemas', import.meta.url))
const REGISTRIES = ['registry.terraform.io', 'registry.opentofu.org']

/**
 * A real provider for one registry's name in the layout of a provider mirror: FOLDER/HOST/NAMESPACE/NAME/VERSION/PLATFORM.
 * Providers in it are used instead of stand-ins.
 */
const REAL_PROVIDERS = process.env.DERPFLEET_TERRAFORM_PROVIDERS

/** A folder of copies to work in, with the tool's settings. Whole trees are copied, since modules name each other by path. */
export class TerraformFolder {
  readonly path: string
  readonly #tool: TerraformTool

  private constructor(path: string, tool: TerraformTool) {
    this.path = path
    this.#tool = tool
  }

  static async create(path: string, tool: TerraformTool): Promise<TerraformFolder> {
    await mkdir(path, { recursive: true })
    const isWork = (name: string): boolean => /\/(\.terraform.*|terraform\.tfstate.*)$/.test(name)
    await cp(join(DEPLOY, 'terraform'), join(path, 'terraform'), {
      recursive: true,
      filter: (source) => !isWork(source),
    })
    const mirror = join(path, 'providers')
    await mkdir(mirror)
    await writeMirror(mirror)
    const settings = `disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path = "${mirror}"\n  }\n}\n`
    await writeFile(join(path, 'cli.tfrc'), settings)
    return new TerraformFolder(path, tool)
  }

  /** Runs the tool in a folder below `terraform/`, with a text as its standard input. */
  run(folder: string, args: readonly string[], input?: string): Promise<RunResult> {
    const env = {
      TF_CLI_CONFIG_FILE: join(this.path, 'cli.tfrc'),
      TF_IN_AUTOMATION: '1',
      CHECKPOINT_DISABLE: '1',
    }
    const cwd = join(this.path, 'terraform', folder)
    return runProcess(this.#tool.path, args, {
      cwd,
      env,
      timeoutMs: 300_000,
      ...(input === undefined ? {} : { input }),
    })
  }

  /** What it prints with success. @throws Error with all that it printed */
  async ok(folder: string, ...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(folder, args)
    if (code !== 0)
      throw new Error(`${this.#tool.name} ${args.join(' ')} in ${folder}: ${code}\n${stdout}${stderr}`)
    return stdout
  }

  /** A root module of the test's own beside the copies. */
  async writeRoot(name: string, files: Readonly<Record<string, string>>): Promise<string> {
    const folder = join(this.path, 'terraform', name)
    await mkdir(folder, { recursive: true })
    for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text)
    return name
  }
}

interface SchemaFile {
  readonly Address: string
  readonly Version: string
}

/** The stand-ins, under the names of both registries, and the real providers in their place. */
async function writeMirror(mirror: string): Promise<void> {
  const standIn = await foreign('stand-in-provider')
  if ('missing' in standIn) {
    process.stderr.write(`SKIPPING tests with providers: ${standIn.missing}\n`)
    return
  }
  for (const file of (await readdir(SCHEMAS)).filter((name) => name.endsWith('.json'))) {
    const schema = JSON.parse(await readFile(join(SCHEMAS, file), 'utf8')) as SchemaFile
    const [, ...names] = schema.Address.split('/')
    const name = names.at(-1) ?? ''
    for (const host of REGISTRIES) {
      const folder = join(mirror, host, ...names, schema.Version, platform())
      await mkdir(folder, { recursive: true })
      const program = join(folder, `terraform-provider-${name}_v${schema.Version}`)
      await copyFile(standIn.path, program)
      await writeFile(`${program}.json`, JSON.stringify({ ...schema, Address: [host, ...names].join('/') }))
    }
  }
  if (REAL_PROVIDERS !== undefined) await addRealProviders(REAL_PROVIDERS, mirror)
}

async function addRealProviders(from: string, mirror: string): Promise<void> {
  const files = await readdir(from, { recursive: true, withFileTypes: true })
  for (const file of files.filter((one) => one.isFile() && one.name.startsWith('terraform-provider-'))) {
    const [, , namespace = '', name = '', version = '', at = ''] =
      `${file.parentPath.slice(from.length)}/`.split('/') as readonly string[]
    for (const host of REGISTRIES) {
      await rm(join(mirror, host, namespace, name), { recursive: true, force: true })
      const folder = join(mirror, host, namespace, name, version, at)
      await mkdir(folder, { recursive: true })
      // Such a file has hundreds of megabytes.
      await link(join(file.parentPath, file.name), join(folder, file.name)).catch(() =>
        copyFile(join(file.parentPath, file.name), join(folder, file.name)),
      )
    }
  }
}

/** Whether the mirror has any provider at all. */
export async function hasProviders(): Promise<boolean> {
  const standIn = await foreign('stand-in-provider')
  return 'path' in standIn && existsSync(standIn.path)
}

function platform(): string {
  return `linux_${process.arch === 'arm64' ? 'arm64' : 'amd64'}`
}
