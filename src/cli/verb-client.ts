// Calls a verb of a relay: of one on this host over the Unix socket in its state folder, which is found by the options of
// `serve`, or by looking which relays run; of any over its admin port, with a token. Sends one request. What the verbs mean
// is the commands' business.

import { readdirSync } from 'node:fs'
import { request, type RequestOptions } from 'node:http'
import { connect } from 'node:net'
import { userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import { Diagnostics } from '#config/diagnostics.ts'
import { endpointText, type Endpoint } from '#config/endpoint.ts'
import { SYSTEM_STATE_FOLDER, type HostInfo } from '#config/host-info.ts'
import { resolveNodeKey } from '#config/key-settings.ts'
import type { OptionValues } from '#config/option-values.ts'
import type { ServeOptions } from '#config/options.ts'
import { isStateFolderName, stateFolderName } from '#config/state-folder.ts'
import { socketPathIn, type SocketPath } from '#control/control-socket.ts'
import { problemText, reasonOf } from '#fleet/problem.ts'
import { packageVersion } from '#ops/version.ts'

/** Relays of one host that are looked at; a host has a handful. */
const FOLDERS_MAX = 1_000
/** An answer has names and numbers of each relay of a fleet, and those of the links between a hundred of them; or of ten thousand clients. */
const ANSWER_BYTES_MAX = 16_777_216

/** A relay that runs, by its state folder; or why none can be told. */
export type FoundRelay =
  | { readonly folder: string }
  | {
      readonly problem: string
      /** Relays run, and the options do not say which is meant. */
      readonly areSeveral?: true
    }

export type VerbResponse =
  | { readonly status: number; readonly body: Readonly<Record<string, unknown>> }
  | { readonly problem: string }

export interface VerbRequest {
  readonly method: 'GET' | 'POST'
  readonly verb: string
  readonly parameters?: Readonly<Record<string, boolean | number | string>>
  /** How long the relay may take; undefined: as long as it likes. */
  readonly timeoutMs: number | undefined
}

/** Whether a relay accepts connections on the socket of a folder. */
type Presence = 'running' | 'absent' | 'denied'

export async function findRelay(values: OptionValues<ServeOptions>, host: HostInfo): Promise<FoundRelay> {
  const bases = [...new Set([host.stateFolder, SYSTEM_STATE_FOLDER])]
  const named = values.get('state-dir')
  if (named !== undefined)
    return await choose([resolve(named), ...relayFoldersIn(resolve(named))], [resolve(named)])
  if (values.source('key') === undefined && values.source('key-file') === undefined) {
    return await choose(bases.flatMap(relayFoldersIn), bases)
  }
  const diagnostics = new Diagnostics()
  const pair = resolveNodeKey(values, host, diagnostics)
  const [problem] = diagnostics.problems
  if (problem !== undefined || pair === undefined) {
    return { problem: problem === undefined ? 'the node key is not known' : problemText(problem) }
  }
  const [missing] = diagnostics.newFiles
  if (missing !== undefined) return { problem: `${values.where('key-file')}: ${missing.path} does not exist` }
  const folders = bases.map((base) => join(base, stateFolderName(pair.publicKey)))
  return await choose(folders, folders)
}

/** Sends the request to the relay of that folder. */
export async function callVerb(folder: string, call: VerbRequest): Promise<VerbResponse> {
  let socket: SocketPath
  try {
    socket = socketPathIn(folder)
  } catch (error) {
    return { problem: `${folder} ${reasonOf(error)}` }
  }
  try {
    return await exchange({ socketPath: socket.path }, call)
  } catch (error) {
    return { problem: `the relay of ${folder} does not answer: ${reasonOf(error)}` }
  } finally {
    socket.close()
  }
}

/** Sends the request to the admin port of a relay. */
export async function callVerbAt(
  { host, port }: Endpoint,
  token: string,
  call: VerbRequest,
): Promise<VerbResponse> {
  const at = { host: host === '' ? 'localhost' : host, port }
  try {
    return await exchange({ ...at, headers: { Authorization: `Bearer ${token}` } }, call)
  } catch (error) {
    return { problem: `${endpointText(at)} does not answer: ${reasonOf(error)}` }
  }
}

/** A page of JSON of the admin port, which needs no token. */
export async function readPageAt(
  { host, port }: Endpoint,
  path: string,
  timeoutMs: number | undefined,
): Promise<VerbResponse> {
  const at = { host: host === '' ? 'localhost' : host, port }
  try {
    const headers = { Accept: 'application/json' }
    return await exchange({ ...at, path, headers }, { method: 'GET', verb: '', timeoutMs })
  } catch (error) {
    return { problem: `${endpointText(at)} does not answer: ${reasonOf(error)}` }
  }
}

/** @param places where the folders were looked for, for messages */
async function choose(folders: readonly string[], places: readonly string[]): Promise<FoundRelay> {
  const presences = await Promise.all(
    folders.map(async (folder) => ({ folder, is: await presenceIn(folder) })),
  )
  const running = presences.filter(({ is }) => is === 'running').map(({ folder }) => folder)
  const [first] = running
  if (running.length === 1 && first !== undefined) return { folder: first }
  if (running.length > 1) {
    const lines = await Promise.all(
      running.map(async (folder) => `  -state-dir ${folder}  ${await nameOf(folder)}`),
    )
    return { problem: `several relays run here; choose one:\n${lines.join('\n')}`, areSeveral: true }
  }
  const denied = presences.find(({ is }) => is === 'denied')
  if (denied !== undefined) {
    return {
      problem: `no permission for ${denied.folder}; run this command as root or as the user of the relay`,
    }
  }
  return { problem: `no relay runs here: there is none with a state folder in ${places.join(' or ')}` }
}

function relayFoldersIn(base: string): readonly string[] {
  try {
    return readdirSync(base)
      .filter(isStateFolderName)
      .slice(0, FOLDERS_MAX)
      .map((name) => join(base, name))
  } catch (error) {
    // A folder that may not be listed may hold a relay; `presenceIn` tells the two apart.
    return error instanceof Error && 'code' in error && error.code === 'EACCES' ? [base] : []
  }
}

async function presenceIn(folder: string): Promise<Presence> {
  let socket: SocketPath
  try {
    socket = socketPathIn(folder)
  } catch (error) {
    return presenceOf(error)
  }
  return await new Promise((resolved) => {
    const attempt = connect({ path: socket.path })
    const end = (is: Presence): void => {
      attempt.destroy()
      socket.close()
      resolved(is)
    }
    attempt.once('connect', () => end('running'))
    attempt.once('error', (error) => end(presenceOf(error)))
  })
}

function presenceOf(error: unknown): Presence {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  // The queue of connections is full: a relay that hangs, and has been asked many times.
  if (code === 'EAGAIN') return 'running'
  return code === 'EACCES' || code === 'EPERM' ? 'denied' : 'absent'
}

/** The host name of a relay, to choose it by; empty if it does not say. */
async function nameOf(folder: string): Promise<string> {
  const answer = await callVerb(folder, { method: 'GET', verb: 'status', timeoutMs: 2_000 })
  const { hostname, pid } = 'body' in answer ? answer.body : {}
  return typeof hostname === 'string' ? `${hostname} (process ${String(pid)})` : ''
}

async function exchange(
  {
    headers,
    ...at
  }: Pick<RequestOptions, 'socketPath' | 'host' | 'port' | 'path'> & {
    readonly headers?: Readonly<Record<string, string>>
  },
  call: VerbRequest,
): Promise<VerbResponse> {
  const { method, verb, parameters = {}, timeoutMs } = call
  const text = method === 'GET' ? '' : JSON.stringify(parameters)
  const query = method === 'GET' ? queryOf(parameters) : ''
  const signal = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs)
  return await new Promise((resolved, rejected) => {
    const sent = request({
      path: `/v1/${verb}${query}`,
      ...at,
      method,
      agent: false,
      ...(signal && { signal }),
      headers: { ...headers, 'User-Agent': callerText(), 'Content-Length': Buffer.byteLength(text) },
    })
    // An answer 101 ends the connection without an error.
    const onClosed = (): void => rejected(new Error('it closes the connection'))
    const onError = (error: Error): void => rejected(signal?.aborted === true ? tooSlow(timeoutMs) : error)
    sent.on('error', onError)
    sent.once('close', onClosed)
    sent.once('response', (response) => {
      sent.off('close', onClosed)
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        chunks.push(chunk)
        if (bytes > ANSWER_BYTES_MAX) response.destroy(new Error('the answer is too long'))
      })
      response.once('error', onError)
      response.once('end', () =>
        resolved(responseOf(response.statusCode ?? 0, Buffer.concat(chunks).toString())),
      )
    })
    sent.end(text)
  })
}

/** Empty without parameters. */
function queryOf(parameters: NonNullable<VerbRequest['parameters']>): string {
  const pairs = Object.entries(parameters).map(([name, value]): [string, string] => [name, `${value}`])
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs).toString()}`
}

function tooSlow(timeoutMs = 0): Error {
  return new Error(`it takes longer than ${timeoutMs / 1_000} s`)
}

function responseOf(status: number, text: string): VerbResponse {
  try {
    const body: unknown = JSON.parse(text)
    if (typeof body === 'object' && body !== null) return { status, body: { ...body } }
  } catch {
    // Reported below.
  }
  return { problem: `the relay's answer is not JSON (status ${status})` }
}

/** Who calls, for the relay's log: sudo names the person behind root. */
function callerText(): string {
  const sudo = process.env.SUDO_USER === undefined ? '' : ` sudo=${process.env.SUDO_USER}`
  return `derpfleet/${packageVersion()} uid=${process.getuid?.()} user=${userName()} pid=${process.pid}${sudo}`
}

/** In a container the user may be a number that has no name. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return '-'
  }
}
