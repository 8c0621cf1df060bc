// The ACME client from npm (`acme-client`), loaded when certificates are first requested: it takes memory that no other relay
// needs. Its requests go through an AcmeHttp of ours, which bounds them and trusts this host's authorities; each conversation
// has its own. The library's own retries do not run: back-off is acme-source.ts's. Runs on the control thread.

import { AsyncLocalStorage } from 'node:async_hooks'
import type * as acmeClient from 'acme-client'
import type { AcmeHttp } from './acme-http.ts'

export type AcmeLibrary = typeof acmeClient

/** What a conversation's requests go through, known to the library's calls that are made in it. */
const conversations = new AsyncLocalStorage<AcmeHttp>()

let loading: Promise<AcmeLibrary> | undefined

export async function loadAcmeLibrary(): Promise<AcmeLibrary> {
  loading ??= load()
  return await loading
}

/** Calls the library so that its requests go through `http`. */
export async function withRequestsThrough<T>(http: AcmeHttp, call: () => Promise<T>): Promise<T> {
  return await conversations.run(http, call)
}

async function load(): Promise<AcmeLibrary> {
  const library = await import('acme-client')
  // An adapter that returns every status leaves nothing to the library's retries.
  library.axios.defaults.adapter = async (config) => {
    const http = conversations.getStore()
    if (http === undefined) throw new Error('a request outside a conversation')
    const { body, headers, status } = await http.send({
      method: config.method ?? 'get',
      url: config.url ?? '',
      headers: plain(config.headers.toJSON()),
      body: typeof config.data === 'string' ? config.data : undefined,
    })
    return { data: body, status, statusText: '', headers: { ...headers }, config, request: undefined }
  }
  return library
}

function plain(headers: Readonly<Record<string, unknown>>): Record<string, string> {
  const texts = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    typeof value === 'string' ? [[name, value]] : [],
  )
  return Object.fromEntries(texts)
}
