// Keeps pages of other origins away from the admin port. A browser on the operator's machine reaches loopback and private
// networks, so a page of any site could ask for pages here: by its own script, which the cross-site check refuses, or after
// pointing its own name at this address (DNS rebinding), which the check of the Host header refuses. To a browser the address then
// has the same origin, so that only its host tells. Scrapers and scripts may use any name of a service, so for most pages the host
// is checked only of what asks as a browser does.

import { isIP } from 'node:net'
import type { IncomingHttpHeaders } from 'node:http'

const LOCAL = /(^|\.)localhost$/

/** Why a request from a page of another origin is refused; undefined: it is none. */
export function crossSiteProblem(headers: IncomingHttpHeaders): string | undefined {
  const { origin, host } = headers
  const site = headers['sec-fetch-site']
  const mode = headers['sec-fetch-mode']
  const target = headers['sec-fetch-dest']
  // A person follows a link: the other page learns nothing of this one.
  const isLink = mode === 'navigate' && (target === undefined || target === 'document')
  if (site === 'cross-site' && !isLink) return 'pages of other sites may not read this one'
  if (site === 'same-site' && !isLink) return 'pages of other origins may not read this one'
  if (origin !== undefined && originHost(origin) !== host)
    return 'pages of other origins may not read this one'
  return undefined
}

/** Whether a browser asks. Without TLS none says which site asks, but each names itself and its reader's languages. */
export function isBrowser(headers: IncomingHttpHeaders): boolean {
  const { 'user-agent': agent = '', 'accept-language': languages = '*' } = headers
  // Node's fetch takes any language.
  return /^mozilla\//i.test(agent) || languages !== '*' || headers['sec-fetch-site'] !== undefined
}

/** Why a browser may not be shown a page under that Host header; undefined: it may. @param names of this relay, besides addresses and localhost */
export function hostProblem(host: string | undefined, names: readonly string[]): string | undefined {
  const name = hostName(host)
  if (name === undefined) return 'the Host header is no host name'
  if (isIP(name) !== 0 || LOCAL.test(name) || names.some((one) => one.toLowerCase() === name))
    return undefined
  return `${name} is no name of this relay's admin port; use its address, localhost or the relay's host name, or list the name with -admin-names`
}

/** In lower case, without port and brackets; undefined if it is none. */
function hostName(host: string | undefined): string | undefined {
  const [, inBrackets, plain] = /^(?:\[([0-9a-f:.%]+)\]|([\w.-]+))(?::\d{1,5})?$/i.exec(host ?? '') ?? []
  return (inBrackets ?? plain)?.toLowerCase().replace(/\.$/, '')
}

function originHost(origin: string): string | undefined {
  return /^https?:\/\/([^/]+)$/i.exec(origin)?.[1]
}
