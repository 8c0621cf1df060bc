import { copyFileSync, mkdirSync, readFileSync, readlinkSync, symlinkSync } from 'node:fs'
import { arch, platform } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { runProcess, startProcess, type RunResult } from '../support/process.ts'
import { PROGRAM, SOURCE_PROGRAM } from '../support/program-path.ts'
import { FREE_PORTS } from './program.ts'

const PACKAGE = 'lib/node_modules/derpfleet'
const PRINT_ARGUMENTS =
  'console.log(JSON.stringify([process.execPath, process.execArgv, process.argv.slice(1)]))\n'
const IMAGE_LAUNCHER = fileURLToPath(new URL('../../deploy/docker/derpfleet', import.meta.url))
/** The tests may run under a Node that the variable names. */
const NONE_NAMED = { DERPFLEET_NODE_PROGRAM: '' }
const NODE_PACKAGE = `node-${platform()}-${arch()}`

/** A package as npm installs it: the launcher, a program that prints how it was run, and no Node. */
function installPackage(folder: TemporaryFolder, main = 'dist/main.js'): string {
  folder.write(`${PACKAGE}/package.json`, '{"type": "module"}')
  folder.write(`${PACKAGE}/${main}`, PRINT_ARGUMENTS)
  const program = folder.write(`${PACKAGE}/bin/derpfleet`, '')
  copyFileSync(PROGRAM, program)
  return program
}

function addNode(folder: TemporaryFolder, path: string): string {
  const node = folder.at(path)
  mkdirSync(dirname(node), { recursive: true })
  symlinkSync(process.execPath, node)
  return node
}

/**
 * A `node` that reports a version, and prints its last argument when it is run.
 *
 * @param path where; without it, on the PATH
 * @param refused a flag that it does not have
 */
function addFakeNode(folder: TemporaryFolder, version: string, path = 'bin/node', refused = '-'): string {
  const lines = [
    '#!/bin/sh',
    'for last; do :; done',
    `case $* in *${refused}=*) exit 9 ;; esac`,
    `[ "$last" = --version ] && echo ${version} || echo "${version} runs $last"`,
  ]
  return folder.write(path, `${lines.join('\n')}\n`, 0o755)
}

function run(program: string, folder: TemporaryFolder, ...args: string[]): Promise<RunResult> {
  return runProcess(program, args, { env: { ...NONE_NAMED, PATH: `${folder.at('bin')}:/usr/bin:/bin` } })
}

/** What the launcher gives Node, and Node the program. */
function expectedStart(folder: TemporaryFolder): unknown {
  return [
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--disable-sigusr1',
      '--max-semi-space-size=2',
      '--heap-growing-percent=100',
      '--no-memory-reducer',
      `--openssl-config=${folder.at(`${PACKAGE}/bin/openssl.cnf`)}`,
    ],
    [folder.at(`${PACKAGE}/dist/main.js`), 'serve', 'a b', ''],
  ]
}

test.each([
  ['inside the package', `${PACKAGE}/node_modules/${NODE_PACKAGE}/bin/node`],
  ['beside the package', `lib/node_modules/${NODE_PACKAGE}/bin/node`],
  ["among the package's programs", `${PACKAGE}/node_modules/.bin/node`],
])('prefers Node %s to the system’s', async (_name, path) => {
  using folder = new TemporaryFolder()
  const program = installPackage(folder)
  addFakeNode(folder, 'v22.20.0')
  addNode(folder, path)
  const { code, stdout } = await run(program, folder, 'serve', 'a b', '')
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toEqual(expectedStart(folder))
})

test('the launcher of the image, which needs no shell, starts the program in the same way', async () => {
  using folder = new TemporaryFolder()
  const program = installPackage(folder)
  copyFileSync(IMAGE_LAUNCHER, program)
  // Node of its first line is at that path in the image only.
  const { code, stdout, stderr } = await run(process.execPath, folder, program, 'serve', 'a b', '')
  expect([code, stderr]).toEqual([0, ''])
  expect(JSON.parse(stdout)).toEqual(expectedStart(folder))
})

test('finds its package through links to it', async () => {
  using folder = new TemporaryFolder()
  const program = installPackage(folder)
  addNode(folder, `${PACKAGE}/node_modules/${NODE_PACKAGE}/bin/node`)
  mkdirSync(folder.at('lib/node_modules/.bin'))
  symlinkSync('../derpfleet/bin/derpfleet', folder.at('lib/node_modules/.bin/derpfleet'))
  mkdirSync(folder.at('bin'))
  symlinkSync(folder.at('lib/node_modules/.bin/derpfleet'), folder.at('bin/derpfleet'))
  const { code, stdout } = await run(folder.at('bin/derpfleet'), folder)
  expect([code, JSON.parse(stdout)[2]]).toEqual([0, [folder.at(`${PACKAGE}/dist/main.js`)]])
  expect(readlinkSync(folder.at('bin/derpfleet'))).not.toBe(program)
})

test('runs the sources if they exist', async () => {
  using folder = new TemporaryFolder()
  const program = installPackage(folder)
  folder.write(`${PACKAGE}/src/main.ts`, `const text: string = 'sources'\nconsole.log(text)\n`)
  addNode(folder, `${PACKAGE}/node_modules/.bin/node`)
  // Node strips types only outside of node_modules, so its error shows which file was run.
  const { stderr } = await run(program, folder)
  expect(stderr).toContain('ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING')
  expect(stderr).toContain('src/main.ts')
})

test.each([
  ['a clone, as it is written', SOURCE_PROGRAM, 'src/main.ts'],
  ['the published package', PROGRAM, 'dist/main.js'],
])('serves from %s', async (_name, program, main) => {
  using folder = new TemporaryFolder()
  await using relay = await startProcess(program, ['serve', '-c', folder.at('key'), ...FREE_PORTS], {
    readyWhen: /"relay_started".*\n/,
  })
  const [, derp = ''] = /"derp":"([^"]+)"/.exec(relay.output) ?? []
  expect((await fetch(`http://${derp}/derp/probe`)).status).toBe(200)
  expect(readFileSync(`/proc/${relay.pid}/cmdline`, 'utf8').split('\0')).toContain(
    join(dirname(program), '..', main),
  )
  expect(await relay.stop()).toEqual({ code: 0, signal: null })
})

test.each(['v22.18.0', 'v22.23.3', 'v23.6.0', 'v24.0.0', 'v24.21.0', 'v26.10.0', 'v100.0.0'])(
  "uses the system's node %s",
  async (version) => {
    using folder = new TemporaryFolder()
    const program = installPackage(folder)
    addFakeNode(folder, version)
    const { code, stdout } = await run(program, folder)
    expect([code, stdout]).toEqual([0, `${version} runs ${folder.at(`${PACKAGE}/dist/main.js`)}\n`])
  },
)

test('leaves out flags that a later Node no longer has', async () => {
  using folder = new TemporaryFolder()
  const program = installPackage(folder)
  addFakeNode(folder, 'v28.0.0', 'bin/node', '--heap-growing-percent')
  const { code, stdout } = await run(program, folder)
  expect([code, stdout]).toEqual([0, `v28.0.0 runs ${folder.at(`${PACKAGE}/dist/main.js`)}\n`])
})

test.each(['v20.19.0', 'v22.17.1', 'v23.5.0', 'no version'])(
  "refuses the system's node %s with an explanation",
  async (version) => {
    using folder = new TemporaryFolder()
    const program = installPackage(folder)
    addFakeNode(folder, version)
    const { code, stdout, stderr } = await run(program, folder)
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(
      new RegExp(`needs Node 22\\.18 or later; .*${NODE_PACKAGE}.*the system's node is ${version}\n`),
    )
    expect(stderr).toContain(`npm install`)
  },
)

test('says so if there is no node at all', async () => {
  using folder = new TemporaryFolder()
  const program = installPackage(folder)
  mkdirSync(folder.at('bin'))
  for (const tool of ['dirname', 'readlink', 'tr', 'uname'])
    symlinkSync(`/usr/bin/${tool}`, folder.at(`bin/${tool}`))
  const { code, stderr } = await runProcess(program, [], { env: { ...NONE_NAMED, PATH: folder.at('bin') } })
  expect(code).toBe(1)
  expect(stderr).toContain(`the package ${NODE_PACKAGE} is not installed, and the system's node is none\n`)
})

test("runs under the Node that DERPFLEET_NODE_PROGRAM names instead of the package's, or says why not", async () => {
  using folder = new TemporaryFolder()
  const program = installPackage(folder)
  addNode(folder, `${PACKAGE}/node_modules/${NODE_PACKAGE}/bin/node`)
  const under = (node: string): Promise<RunResult> =>
    runProcess(program, [], { env: { PATH: '/usr/bin:/bin', DERPFLEET_NODE_PROGRAM: node } })

  const { code, stdout } = await under(addFakeNode(folder, 'v24.21.0', 'other/node'))
  expect([code, stdout]).toEqual([0, `v24.21.0 runs ${folder.at(`${PACKAGE}/dist/main.js`)}\n`])

  for (const [node, version] of [
    [addFakeNode(folder, 'v20.19.0', 'old/node'), 'v20.19.0'],
    [folder.at('nowhere/node'), 'none'],
  ] as const)
    expect(await under(node)).toEqual({
      code: 1,
      stdout: '',
      stderr: `derpfleet: needs Node 22.18 or later; DERPFLEET_NODE_PROGRAM is ${node}, whose version is ${version}\n`,
    })
})

test('reports a missing program', async () => {
  using folder = new TemporaryFolder()
  const program = installPackage(folder, 'other/main.js')
  const { code, stderr } = await run(program, folder)
  expect([code, stderr]).toEqual([
    1,
    `derpfleet: neither src/main.ts nor dist/main.js exists in ${folder.at(PACKAGE)}; install the package again\n`,
  ])
})
