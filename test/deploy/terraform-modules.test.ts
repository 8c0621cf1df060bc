// Each module and example of deploy/terraform: its form, its types, its own tests, with Terraform and with OpenTofu; and the
// linter. Providers that this machine lacks are stand-ins (test/support/terraform.ts); docs/terraform.md says which were real.

import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { foreign } from '../support/foreign.ts'
import { runProcess } from '../support/process.ts'
import { DEPLOY, hasProviders, TerraformFolder, terraformTools } from '../support/terraform.ts'

const MODULES = await readdir(join(DEPLOY, 'terraform/modules'))
const EXAMPLES = await readdir(join(DEPLOY, 'terraform/examples'))
const isReady = await hasProviders()

describe.skipIf(!isReady).each(await terraformTools())('$name', (tool) => {
  const folder = new TemporaryFolder()
  let terraform: TerraformFolder
  beforeAll(async () => {
    terraform = await TerraformFolder.create(folder.path, tool)
  })
  afterAll(() => folder[Symbol.dispose]())

  it('every file has the usual form', async () => {
    expect(await terraform.ok('.', 'fmt', '-check', '-recursive', '-diff')).toBe('')
  })

  it.each([...MODULES.map((name) => `modules/${name}`), ...EXAMPLES.map((name) => `examples/${name}`)])(
    '%s is valid',
    { timeout: 60_000 },
    async (name) => {
      await terraform.ok(name, 'init', '-backend=false', '-no-color')
      const { valid, diagnostics } = JSON.parse(await terraform.ok(name, 'validate', '-json'))
      // A provider's warning of what it will drop is a thing to know of.
      expect([valid, diagnostics]).toEqual([true, []])
    },
  )

  it.each(MODULES.map((name) => `modules/${name}`))(
    '%s passes its tests',
    { timeout: 120_000 },
    async (name) => {
      await terraform.ok(name, 'init', '-backend=false', '-no-color')
      const output = await terraform.ok(name, 'test', '-no-color')
      expect(output).toMatch(/Success! [1-9]\d* passed, 0 failed/)
      // OpenTofu ends with 0 when it could not clean up.
      expect(output).not.toMatch(/error|fail(?!ed\.)/i)
    },
  )

  it.each([
    ['node-hcloud', 'server_type  ', 'server_typ   ', 'server_typ'],
    ['node-digitalocean', '  size       = var.size\n', '', 'size'],
    ['node-aws', 'http_tokens  ', 'http_token  ', 'http_token'],
    ['node-google', 'machine_type  ', 'machine_typ  ', 'machine_typ'],
    ['dns-cloudflare', 'content', 'contents', 'contents'],
    ['helm-release', 'chart   ', 'chrt   ', 'chrt'],
  ])('the schema of %s finds a mistake', { timeout: 60_000 }, async (name, was, is, named) => {
    const path = join(terraform.path, 'terraform/modules', name, 'main.tf')
    const text = await readFile(path, 'utf8')
    expect(text).toContain(was)
    await writeFile(path, text.replace(was, is))
    await terraform.ok(`modules/${name}`, 'init', '-backend=false', '-no-color')
    const { code, stdout } = await terraform.run(`modules/${name}`, ['validate', '-json'])
    await writeFile(path, text)
    expect(code).toBe(1)
    expect(stdout).toContain(`\\"${named}\\"`)
  })
})

const tflint = await foreign('tflint')
if ('missing' in tflint) process.stderr.write(`SKIPPING the linter of Terraform: ${tflint.missing}\n`)

it.skipIf('missing' in tflint)('the linter finds nothing', { timeout: 120_000 }, async () => {
  const program = 'path' in tflint ? tflint.path : ''
  const lint = ['--recursive', '--no-color', '--config', join(DEPLOY, 'terraform/.tflint.hcl')]
  const { code, stdout, stderr } = await runProcess(program, lint, { cwd: join(DEPLOY, 'terraform') })
  expect([stdout, stderr, code]).toEqual(['', '', 0])
  // The test must be able to fail.
  using folder = new TemporaryFolder()
  folder.write('main.tf', 'variable "unused" {}\n')
  expect((await runProcess(program, ['--no-color'], { cwd: folder.path })).code).toBe(2)
})
