// The sources are what a checkout runs: the runtime strips their types and changes nothing else. The test runner translates
// more, and hides what the runtime can't read.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { runProcess } from './support/process.ts'

const SOURCES = join(import.meta.dirname, '../src')

/** Parses each file, runs none. Names the files that can't be parsed. */
const PROGRAM = `
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { SourceTextModule } from 'node:vm'
for (const path of process.argv.slice(1)) {
  try { new SourceTextModule(stripTypeScriptTypes(readFileSync(path, 'utf8')), { identifier: path }) }
  catch (error) { console.log(path + ': ' + error.message) }
}
`

it('the runtime can read every source file', async () => {
  const names = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  )
  expect(names.length).toBeGreaterThan(400)
  const paths = names.map((name) => join(SOURCES, name))
  const flags = ['--no-warnings', '--experimental-vm-modules', '--input-type=module', '-e', PROGRAM]
  const { code, stdout, stderr } = await runProcess('node', [...flags, ...paths])
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '', stderr: '' })
})
