// Real sockets in a real folder; what listens are plain servers.

import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { RunSocket } from '#control/run-socket.ts'
import { removeStaleSockets } from '#control/stale-sockets.ts'
import { killedListener } from '../support/killed-listener.ts'

let folder = ''
let path = ''
const servers: Server[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'run-socket-'))
  path = join(folder, 'run.sock')
})

afterEach(() => {
  for (const one of servers.splice(0)) one.close()
  rmSync(folder, { recursive: true, force: true })
})

function server(): Server {
  const one = createServer((connection) => connection.destroy())
  servers.push(one)
  return one
}

/** As a run does that finds no other one. */
async function claimed(socket: RunSocket): Promise<boolean> {
  if (await socket.claim(server())) return true
  await socket.removeStale()
  return await socket.claim(server())
}

it.each<[string, () => Promise<void> | void]>([
  ['nothing', () => undefined],
  ['the socket of a run that was killed', () => killedListener(path)],
  ['a file', () => writeFileSync(path, 'text')],
  ['a link to nothing', () => symlinkSync('/nowhere/run.sock', path)],
  ['a link to a file', () => symlinkSync(import.meta.filename, path)],
])('the first run claims the name of %s', async (_name, make) => {
  await make()
  const socket = new RunSocket(folder)
  expect(await socket.connect()).toBeUndefined()
  expect(await claimed(socket)).toBe(true)
  expect(await socket.isAlive()).toBe(true)
  expect(existsSync(import.meta.filename)).toBe(true)
  await socket.remove()
  expect(readdirSync(folder)).toEqual([])
})

it('a folder in its place is named, and stays', async () => {
  mkdirSync(path)
  await expect(claimed(new RunSocket(folder))).rejects.toThrow(`${path} is a folder`)
  expect(readdirSync(folder)).toEqual(['run.sock'])
})

it('a socket on which a run listens is not removed as stale', async () => {
  const [older, newer] = [new RunSocket(folder), new RunSocket(folder)]
  await older.claim(server())
  expect(await claimed(newer)).toBe(false)
  await newer.remove()
  expect(await older.isAlive()).toBe(true)
})

it('of many runs that claim it at once exactly one succeeds', async () => {
  killedListener(path)
  const claims = await Promise.all(
    Array.from({ length: 20 }, async () => await claimed(new RunSocket(folder))),
  )
  expect(claims.filter(Boolean)).toHaveLength(1)
  expect(readdirSync(folder)).toEqual(['run.sock'])
})

it('a run that has replaced the socket gives it back, unless the run before has ended or handed over', async () => {
  const [older, newer] = [new RunSocket(folder), new RunSocket(folder)]
  const serves = server()
  await older.claim(serves)
  const { ino } = lstatSync(path)
  await newer.replace(server())
  expect(lstatSync(path).ino).not.toBe(ino)
  expect(await newer.giveBack()).toBe(true)
  expect(lstatSync(path).ino).toBe(ino)
  await newer.remove()
  expect(await older.isAlive()).toBe(true)

  await newer.replace(server())
  newer.keep()
  await older.remove()
  expect(await newer.giveBack()).toBe(false)
  expect(readdirSync(folder)).toEqual(['run.sock'])

  const next = new RunSocket(folder)
  await next.replace(server())
  for (const one of servers.splice(0, servers.length - 1)) one.close()
  expect(await next.giveBack()).toBe(false)
  expect(readdirSync(folder)).toEqual(['run.sock'])
  await next.remove()
  expect(readdirSync(folder)).toEqual([])
})

it('a start that fails after it has replaced the socket leaves it to the run before', async () => {
  const [older, newer] = [new RunSocket(folder), new RunSocket(folder)]
  await older.claim(server())
  await newer.replace(server())
  await newer.remove()
  expect(await older.isAlive()).toBe(true)
  expect(readdirSync(folder)).toEqual(['run.sock'])
})

it('sockets that killed runs have left are removed; what listens, is young or is something else stays', async () => {
  const name = (one: string): string => join(folder, one)
  const stale = ['run-bridge-00112233.sock', '.run.sock-00112233', '.control.sock-00112233']
  const others = ['run-bridge-0011.sock', 'control.sock', 'other.sock']
  const young = 'run-bridge-aaaaaaaa.sock'
  const [alive, file] = ['run-bridge-44556677.sock', 'run-bridge-88990011.sock']
  for (const one of [...stale, ...others, young]) killedListener(name(one))
  await new Promise<void>((resolve) => server().listen(name(alive), resolve))
  writeFileSync(name(file), 'text')
  for (const one of [...stale, ...others, alive, file]) utimesSync(name(one), 1_000, 1_000)
  await removeStaleSockets(folder)
  expect(readdirSync(folder).toSorted()).toEqual([...others, young, alive, file].toSorted())
})
