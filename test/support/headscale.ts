// Headscale as a child process: a control server with one user and an auth key for clients. Its DERP map has the format
// that Headscale reads: every key in lower case, the regions' numbers as keys of a Map.

import { access, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { freePort, runOk, startProcess, tail, type RunningProcess } from './process.ts'

export type Control = {
  readonly url: string
  readonly authKey: string
  readonly server: RunningProcess
  /** Its map file, if it has one; read at the start. */
  readonly mapPath: string
  /** Stops it, and starts it with the same files. */
  readonly restart: () => Promise<Control>
}

/** Where Headscale gets its map. */
interface MapSources {
  readonly url: URL
  /** The text of a map file besides. */
  readonly file?: string
  /** How often Headscale asks again, in Go's notation; undefined: never. */
  readonly refreshedEvery?: string
}

/**
 * @param address the address that it listens on, with or without a port
 * @param map the content of a DERP map file, or its text, or where Headscale gets the map
 */
export async function startHeadscale(
  program: string,
  folder: string,
  address: string,
  map: object | string | URL | MapSources,
): Promise<Control> {
  const endpoint = address.includes(':') ? address : `${address}:${await freePort()}`
  const url = `http://${endpoint}`
  const configPath = join(folder, 'config.yaml')
  const mapPath = join(folder, 'derp.yaml')
  const { url: from, file, refreshedEvery } = mapSources(map)
  if (file !== undefined) await writeFile(mapPath, file)
  const sources = { urls: from === undefined ? [] : [from.href], paths: file === undefined ? [] : [mapPath] }
  const refresh =
    refreshedEvery === undefined
      ? { auto_update_enabled: false }
      : { auto_update_enabled: true, update_frequency: refreshedEvery }
  const config = headscaleConfig(folder, endpoint, await freePort())
  const derp = { server: { enabled: false }, ...sources, ...refresh }
  await writeFile(configPath, stringify({ ...config, derp }))
  const run = (...args: readonly string[]): Promise<string> => runOk(program, ['-c', configPath, ...args])
  const serve = async (): Promise<RunningProcess> =>
    await startProcess(program, ['-c', configPath, 'serve'], {
      cwd: folder,
      readyWhen: async () =>
        (await fetch(`${url}/health`)).ok && (await exists(join(folder, 'headscale.sock'))),
    })
  const server = await serve()
  try {
    await run('users', 'create', 'lab')
    const authKey = await run('preauthkeys', 'create', '--user', '1', '--reusable', '--expiration', '24h')
    return running({ url, authKey: authKey.trim(), server, mapPath }, serve)
  } catch (error) {
    await server.stop()
    throw new Error(`--- end of Headscale's log:\n${tail(server.output)}`, { cause: error })
  }
}

function running(now: Omit<Control, 'restart'>, serve: () => Promise<RunningProcess>): Control {
  const restart = async (): Promise<Control> => {
    await now.server.stop()
    return running({ ...now, server: await serve() }, serve)
  }
  return { ...now, restart }
}

function mapSources(map: object | string | URL | MapSources): Partial<MapSources> {
  if (map instanceof URL) return { url: map }
  if (typeof map === 'string') return { file: map }
  return 'url' in map ? map : { file: stringify(map) }
}

function headscaleConfig(folder: string, address: string, grpcPort: number): object {
  return {
    server_url: `http://${address}`,
    listen_addr: address,
    metrics_listen_addr: '',
    grpc_listen_addr: `127.0.0.1:${grpcPort}`,
    disable_check_updates: true,
    noise: { private_key_path: join(folder, 'noise.key') },
    unix_socket: join(folder, 'headscale.sock'),
    prefixes: { v4: '100.64.0.0/10', v6: 'fd7a:115c:a1e0::/48' },
    database: { type: 'sqlite', sqlite: { path: join(folder, 'headscale.sqlite') } },
    dns: { magic_dns: false, base_domain: 'tailnet.test', override_local_dns: false },
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
