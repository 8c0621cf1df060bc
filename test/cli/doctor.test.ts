// The command `doctor` beside what is no relay. What it finds is test/integration/doctor.test.ts.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { derpfleet } from './program.ts'

it.each(['{}', '[]', '{"checks":{},"key":7}'])('says that what answers %s is no relay', async (answer) => {
  using folder = new TemporaryFolder()
  const token = folder.write('token', `${'t'.repeat(40)}\n`)
  const server = createServer((_, response) => response.end(answer)).listen(0, '127.0.0.1')
  try {
    await once(server, 'listening')
    const at = `127.0.0.1:${(server.address() as AddressInfo).port}`
    const { code, stdout, stderr } = await derpfleet(['doctor', '-addr', at, '-token-file', token])
    expect([code, stderr]).toEqual([1, ''])
    expect(stdout).toMatch(/FAIL {2}relay .*is no relay/)
  } finally {
    server.closeAllConnections()
    server.close()
  }
})
