import { readFileSync, statSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseKeyFile, parseMeshKeys } from '#protocol/key-file.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { derpfleet } from './program.ts'

function publicKeyOf(text: string): string {
  const parsed = parseKeyFile(text)
  return 'value' in parsed ? publicKeyText(parsed.value.publicKey) : parsed.problem
}

test('prints a key, and its public key on standard error', async () => {
  const { code, stdout, stderr } = await derpfleet(['keygen'])
  expect([code, stderr]).toEqual([0, `${publicKeyOf(stdout)}\n`])
  expect(stdout).toMatch(/^{\n\t"PrivateKey": "privkey:[0-9a-f]{64}"\n}\n$/)
})

test('writes a key that only its owner can read, and does not overwrite it', async () => {
  using folder = new TemporaryFolder()
  const path = folder.at('derper.key')
  const first = await derpfleet(['keygen', '-o', path])
  const text = readFileSync(path, 'utf8')
  expect(first).toEqual({ code: 0, stdout: `${publicKeyOf(text)}\n`, stderr: '' })
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect((await derpfleet(['keygen', '--public', path])).stdout).toBe(first.stdout)
  const second = await derpfleet(['keygen', '-o', path])
  expect([second.code, second.stdout, readFileSync(path, 'utf8')]).toEqual([1, '', text])
  expect(second.stderr).toContain(`${path}: cannot be written: it already exists`)
})

test('creates a mesh key that a relay accepts', async () => {
  using folder = new TemporaryFolder()
  const printed = await derpfleet(['keygen', '--mesh'])
  expect(printed).toMatchObject({ code: 0, stderr: '' })
  expect(parseMeshKeys(printed.stdout)).toHaveProperty('value', [expect.any(Uint8Array)])
  const path = folder.at('mesh.key')
  expect(await derpfleet(['keygen', '-mesh', '-o', path])).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(readFileSync(path, 'utf8')).toMatch(/^[0-9a-f]{64}\n$/)
  expect(statSync(path).mode & 0o777).toBe(0o600)
})

test('reports why the public key of a file cannot be printed', async () => {
  using folder = new TemporaryFolder()
  const missing = await derpfleet(['keygen', '-public', folder.at('none')])
  expect(missing).toEqual({
    code: 1,
    stdout: '',
    stderr: `derpfleet keygen: ${folder.at('none')} does not exist\n`,
  })
})

test.each([
  [['-out', 'x'], '-out: unknown flag'],
  [['-public', 'x', '-mesh'], '-public: creates nothing; expected -public without -mesh and -o'],
  [['-o', ''], '-o: is empty; expected the path of a new file'],
  [['key'], '"key": unexpected argument'],
])('reports %j as invalid', async (args, problem) => {
  const { code, stdout, stderr } = await derpfleet(['keygen', ...args])
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toContain(problem)
})
