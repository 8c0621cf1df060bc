// A headless browser with one page that loads page-client.ts, and calls of its functions from a test. Uses the
// browser's debugging protocol over Node's WebSocket. Supports Chromium only.

import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { stripTypeScriptTypes } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RunningProcess, startProcess, waitUntil } from './process.ts'

/** Accepts the self-signed certificates of relays under test, and makes no requests of its own. */
const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--ignore-certificate-errors',
  '--remote-debugging-port=0',
] as const

/** The packages that the page client imports, which the page may load. */
const packages = ['ciphers', 'curves', 'hashes'] as const
const modules = join(import.meta.dirname, '../../node_modules/@noble')

const importMap = Object.fromEntries(packages.map((name) => [`@noble/${name}/`, `/${name}/`]))
const page =
  '<!doctype html><title>DERP in a page</title>' +
  `<script type="importmap">${JSON.stringify({ imports: importMap })}</script>` +
  "<script type=module>window.pageClient = await import('/page-client.js')</script>"

export class Browser implements AsyncDisposable {
  readonly #process: RunningProcess
  readonly #server: Server
  readonly #folder: string
  readonly #debugger: WebSocket
  readonly #pendingResponses = new Map<number, (message: DebuggerResponse) => void>()
  #lastId = 0

  private constructor(parts: {
    process: RunningProcess
    server: Server
    folder: string
    debugger: WebSocket
  }) {
    this.#process = parts.process
    this.#server = parts.server
    this.#folder = parts.folder
    this.#debugger = parts.debugger
    this.#debugger.addEventListener('message', ({ data }) => {
      const message = JSON.parse(String(data)) as DebuggerResponse
      this.#pendingResponses.get(message.id ?? 0)?.(message)
    })
  }

  static async start(command: string): Promise<Browser> {
    const folder = await mkdtemp(join(tmpdir(), 'browser-'))
    const server = createServer(({ url = '/' }, response) => void serve(url, response))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const portFile = join(folder, 'DevToolsActivePort')
    const running = await startProcess(command, [...flags, `--user-data-dir=${folder}`, 'about:blank'], {
      readyWhen: () => existsSync(portFile),
    })
    const [port] = (await readFile(portFile, 'utf8')).split('\n')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const response = await fetch(`http://127.0.0.1:${port}/json/new?${url}`, { method: 'PUT' })
    const { webSocketDebuggerUrl } = (await response.json()) as { webSocketDebuggerUrl: string }
    const socket = new WebSocket(webSocketDebuggerUrl)
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve)
      socket.addEventListener('error', reject)
    })
    const browser = new Browser({ process: running, server, folder, debugger: socket })
    await waitUntil('the page is loaded', () => browser.evaluate<boolean>('window.pageClient !== undefined'))
    return browser
  }

  /** Reloads the page, which clears all its state. */
  async reload(): Promise<void> {
    await this.evaluate('delete window.pageClient')
    await this.#command('Page.reload', {})
    await waitUntil('the page is loaded', () => this.evaluate<boolean>('window.pageClient !== undefined'))
  }

  /** Calls a function of the page client and waits for its result. */
  async call<Result>(name: string, ...values: readonly unknown[]): Promise<Result> {
    return await this.evaluate<Result>(`pageClient.${name}(...${JSON.stringify(values)})`)
  }

  /** The value of an expression in the page. @throws Error with the page's error */
  async evaluate<Result>(expression: string): Promise<Result> {
    const { result, exceptionDetails } = await this.#command('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    })
    if (exceptionDetails !== undefined) {
      throw new Error(`the page threw: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`)
    }
    return result?.value as Result
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#debugger.close()
    await this.#process.stop()
    this.#server.closeAllConnections()
    this.#server.close()
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }

  async #command(method: string, params: object): Promise<Evaluation> {
    const id = ++this.#lastId
    const response = new Promise<DebuggerResponse>((resolve) => this.#pendingResponses.set(id, resolve))
    this.#debugger.send(JSON.stringify({ id, method, params }))
    const { result, error } = await response
    this.#pendingResponses.delete(id)
    if (error !== undefined) throw new Error(`${method}: ${error.message}`)
    return result ?? {}
  }
}

/** The result of a command of the debugging protocol, as far as it is used. */
interface Evaluation {
  readonly result?: { readonly value?: unknown }
  readonly exceptionDetails?: {
    readonly text: string
    readonly exception?: { readonly description?: string }
  }
}

interface DebuggerResponse {
  readonly id?: number
  readonly result?: Evaluation
  readonly error?: { readonly message: string }
}

/** Serves the page, its client, and the modules that it imports. */
async function serve(url: string, response: ServerResponse): Promise<void> {
  const [, name = '', file = ''] = /^\/(\w+)\/([\w./-]+\.js)$/.exec(url) ?? []
  if (url === '/') {
    response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(page)
  } else if (url === '/page-client.js') {
    const source = await readFile(join(import.meta.dirname, 'page-client.ts'), 'utf8')
    response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(stripTypeScriptTypes(source))
  } else if (packages.some((known) => known === name) && !file.includes('..')) {
    const source = await readFile(join(modules, name, file), 'utf8')
    response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(source)
  } else {
    response.writeHead(404).end()
  }
}
