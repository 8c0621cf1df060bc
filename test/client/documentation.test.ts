// Runs the example of the documentation with a fake server.

import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { FrameType, GoneReason } from '#protocol/frame-type.ts'
import { peerGoneFrame, pongFrame, recvPacketFrame } from '#protocol/frames.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { makeCertificate } from '../support/certificate.ts'
import { runOk } from '../support/process.ts'
import { FakeServer, type FakeServerSession } from './fake-server.ts'
import { temporaryFolder } from './temporary-folder.ts'

const root = join(import.meta.dirname, '../..')
const folder = temporaryFolder()

/** Relays packets between the example's two clients. */
async function route(server: FakeServer): Promise<void> {
  const sessions = new Map<string, FakeServerSession>()
  const keyOf = (session: FakeServerSession): Uint8Array => session.clientKey ?? new Uint8Array(32)
  for (let i = 0; i < 2; i++) {
    const session = await server.nextSession()
    sessions.set(publicKeyText(keyOf(session)), session)
    void relay(session)
  }

  async function relay(session: FakeServerSession): Promise<void> {
    const { type, payload } = await session.nextFrame()
    if (type === FrameType.ping) session.write(pongFrame(new Uint8Array(payload)))
    if (type === FrameType.sendPacket) {
      const to = sessions.get(publicKeyText(payload.subarray(0, 32)))
      to?.write(recvPacketFrame(keyOf(session), payload.subarray(32)))
      session.socket.once('end', () => to?.write(peerGoneFrame(keyOf(session), GoneReason.disconnected)))
    }
    await relay(session)
  }
}

test('the example of docs/client.md', async () => {
  const certificate = await makeCertificate(folder(), 'localhost')
  await using server = await FakeServer.start({ certificate })
  void route(server)
  const text = await readFile(join(root, 'docs/client.md'), 'utf8')
  const code = /```ts\n(import [^]*?)```/.exec(text)?.[1] ?? ''
  // Inside the repository, since imports are resolved from the program's path.
  const path = join(root, `test/client/.example-${process.pid}.ts`)
  await writeFile(path, code.replace("'derpfleet/client'", "'#client/derp-client.ts'"))
  try {
    const args = [path, `https://localhost:${server.port}`, `sha256-raw:${certificate.sha256}`]
    const output = await runOk(process.execPath, args)
    expect(output).toMatch(
      /^connected by fast-start, a ping takes \d+\.\d ms\nolleh\nbob is gone, reason 0\n$/,
    )
  } finally {
    await rm(path)
  }
})
