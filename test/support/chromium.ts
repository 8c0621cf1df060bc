// A headless Chromium with one tab, and commands of its debugging protocol over Node's WebSocket.

import { readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RunningProcess, startProcess } from './process.ts'

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

export class ChromiumTab implements AsyncDisposable {
  readonly #process: RunningProcess
  readonly #folder: string
  readonly #debugger: WebSocket
  readonly #pendingResponses = new Map<number, (message: DebuggerMessage) => void>()
  readonly #events = new Map<string, (params: unknown) => void>()
  #lastId = 0

  private constructor(process: RunningProcess, folder: string, socket: WebSocket) {
    this.#process = process
    this.#folder = folder
    this.#debugger = socket
    this.#debugger.addEventListener('message', ({ data }) => {
      const message = JSON.parse(String(data)) as DebuggerMessage
      if (message.id === undefined) this.#events.get(message.method ?? '')?.(message.params)
      else this.#pendingResponses.get(message.id)?.(message)
    })
  }

  static async start(command: string, url: string): Promise<ChromiumTab> {
    const folder = await mkdtemp(join(tmpdir(), 'browser-'))
    const portFile = join(folder, 'DevToolsActivePort')
    const running = await startProcess(command, [...flags, `--user-data-dir=${folder}`, 'about:blank'], {
      // The browser creates the file and then writes two lines: the port and a path.
      readyWhen: () => readFileSync(portFile, 'utf8').includes('\n'),
    })
    const [port] = (await readFile(portFile, 'utf8')).split('\n')
    const response = await fetch(`http://127.0.0.1:${port}/json/new?${url}`, { method: 'PUT' })
    const { webSocketDebuggerUrl } = (await response.json()) as { webSocketDebuggerUrl: string }
    const socket = new WebSocket(webSocketDebuggerUrl)
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve)
      socket.addEventListener('error', reject)
    })
    const tab = new ChromiumTab(running, folder, socket)
    // A page in a tab behind is hidden, and has no focus.
    await tab.command('Page.bringToFront')
    await tab.command('Emulation.setFocusEmulationEnabled', { enabled: true })
    return tab
  }

  /** Calls `listener` for each event of that name; one listener for each name. */
  on(event: string, listener: (params: unknown) => void): void {
    this.#events.set(event, listener)
  }

  /** The value of an expression in the page. @throws Error with the page's error */
  async evaluate<Result>(expression: string): Promise<Result> {
    const { result, exceptionDetails } = (await this.command('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    })) as Evaluation
    if (exceptionDetails !== undefined) {
      throw new Error(`the page threw: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`)
    }
    return result?.value as Result
  }

  /** @returns the result of the command */
  async command(method: string, params: object = {}): Promise<unknown> {
    const id = ++this.#lastId
    const response = new Promise<DebuggerMessage>((resolve) => this.#pendingResponses.set(id, resolve))
    this.#debugger.send(JSON.stringify({ id, method, params }))
    const { result, error } = await response
    this.#pendingResponses.delete(id)
    if (error !== undefined) throw new Error(`${method}: ${error.message}`)
    return result ?? {}
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#debugger.close()
    await this.#process.stop()
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** The result of an evaluation, as far as it is used. */
interface Evaluation {
  readonly result?: { readonly value?: unknown }
  readonly exceptionDetails?: {
    readonly text: string
    readonly exception?: { readonly description?: string }
  }
}

/** A response has an id, and an event a method. */
interface DebuggerMessage {
  readonly id?: number
  readonly result?: unknown
  readonly error?: { readonly message: string }
  readonly method?: string
  readonly params?: unknown
}
