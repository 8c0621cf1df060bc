// A headless browser with one page that loads page-client.ts, and calls of its functions from a test.

import { readFile } from 'node:fs/promises'
import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { stripTypeScriptTypes } from 'node:module'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { ChromiumTab } from './chromium.ts'
import { waitUntil } from './process.ts'

/** The packages that the page client imports, which the page may load. */
const packages = ['ciphers', 'curves', 'hashes'] as const
const modules = join(import.meta.dirname, '../../node_modules/@noble')

const importMap = Object.fromEntries(packages.map((name) => [`@noble/${name}/`, `/${name}/`]))
const page =
  '<!doctype html><title>DERP in a page</title>' +
  `<script type="importmap">${JSON.stringify({ imports: importMap })}</script>` +
  "<script type=module>window.pageClient = await import('/page-client.js')</script>"

const LOAD_MS = 15_000
const LOADS_MAX = 3

export class Browser implements AsyncDisposable {
  readonly #tab: ChromiumTab
  readonly #server: Server

  private constructor(tab: ChromiumTab, server: Server) {
    this.#tab = tab
    this.#server = server
  }

  static async start(command: string): Promise<Browser> {
    const server = createServer(({ url = '/' }, response) => void serve(url, response))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const browser = new Browser(await ChromiumTab.start(command, url), server)
    await browser.#loaded()
    return browser
  }

  /** Reloads the page, which clears all its state. */
  async reload(): Promise<void> {
    await this.#tab.evaluate('delete window.pageClient')
    await this.#tab.command('Page.reload')
    await this.#loaded()
  }

  /** Calls a function of the page client and waits for its result. */
  async call<Result>(name: string, ...values: readonly unknown[]): Promise<Result> {
    return await this.#tab.evaluate<Result>(`pageClient.${name}(...${JSON.stringify(values)})`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tab[Symbol.asyncDispose]()
    this.#server.closeAllConnections()
    this.#server.close()
  }

  /** On a busy machine, Chromium has been seen to wait for a module that this server had sent. */
  async #loaded(): Promise<void> {
    const isLoaded = async (): Promise<boolean> =>
      await this.#tab.evaluate<boolean>('window.pageClient !== undefined')
    for (let attempt = 1; ; attempt++) {
      try {
        return await waitUntil('the page is loaded', isLoaded, LOAD_MS)
      } catch (error) {
        if (attempt === LOADS_MAX) throw error
        await this.#tab.command('Page.reload')
      }
    }
  }
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
