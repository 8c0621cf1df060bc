// The status page: a whole document that needs no script, no other file and no other host. Its live parts are those of
// status-sections.ts; the script replaces them as the stream (status-stream.ts) sends them. No I/O.

import { createHash } from 'node:crypto'
import { markup, Markup } from './markup.ts'
import { legend } from './matrix-table.ts'
import type { Overview } from './overview.ts'
import { sectionsOf, titleOf } from './status-sections.ts'
import { STATUS_SCRIPT } from './status-script.ts'
import { STATUS_STYLE } from './status-style.ts'

export const HTML_TYPE = 'text/html; charset=utf-8'

/** A disc in the colour of the state; works in both themes. */
const ICON_COLOURS = { serving: '%230b9a5c', draining: '%23d08700', notReady: '%23d0342a' } as const

/** What a browser may do with the page: its own style, script and stream, and nothing else. */
export const STATUS_HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy': [
    "default-src 'none'",
    `style-src ${hashOf(STATUS_STYLE)}`,
    `script-src ${hashOf(STATUS_SCRIPT)}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
}

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
}

export function statusPage(overview: Overview): string {
  const sections = sectionsOf(overview)
  const part = (id: string): Markup => new Markup(sections[id] ?? '')
  const { hostname, nodes, version, state } = overview
  const icon = `data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Ccircle cx='4' cy='4' r='4' fill='${ICON_COLOURS[state]}'/%3E%3C/svg%3E`
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>${titleOf(overview)}</title>
<link rel="icon" href="${new Markup(icon)}">
<style>${new Markup(STATUS_STYLE)}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<span class="brand">derp<b>fleet</b></span>
<h1>${hostname}${nodes.length > 0 ? ` (${nodes.join(' ')})` : ''}</h1>
<p class="meta"><span>as of <span id="asof">${part('asof')}</span></span><span id="live" role="status"><noscript>Reload for newer numbers.</noscript></span><button id="pause" type="button" hidden>Pause</button></p>
</header>
<main id="main" tabindex="-1">
<div id="state" role="status">${part('state')}</div>
<h2 class="away">Load</h2>
<div id="tiles" class="tiles">${part('tiles')}</div>
<section class="card"><h2 id="h-relays">Fleet</h2><div class="scroll" tabindex="0" role="region" aria-labelledby="h-relays"><div id="relays">${part('relays')}</div></div></section>
<div class="two">
<section class="card"><h2>Regions</h2><div id="world">${part('world')}</div></section>
<section class="card"><h2 id="h-matrix">Latency between relays</h2><div class="scroll" tabindex="0" role="region" aria-labelledby="h-matrix"><div id="matrix">${part('matrix')}</div></div>${legend()}</section>
</div>
<div class="two">
<section class="card"><h2>Last events</h2><div id="events">${part('events')}</div></section>
${pasteCard(overview, part('paste'))}
</div>
</main>
<footer>derpfleet ${version}, up since ${new Date(overview.startedMs).toISOString().slice(0, 16).replace('T', ' ')} UTC<br>
<a href="metrics">metrics</a><a href="readyz?verbose">checks</a><a href="fleet">fleet (JSON)</a><a href="quality">quality (JSON)</a><a href="status.json">this page (JSON)</a></footer>
<script>${new Markup(STATUS_SCRIPT)}</script>
</body>
</html>
`.text
}

function pasteCard({ map }: Overview, text: Markup): Markup {
  if (map === undefined) return markup``
  const links =
    map.version === undefined
      ? ''
      : markup`<span class="note"><a href="derpmap.yaml">derpmap.yaml</a> \u{b7} <a href="derpmap.json">derpmap.json</a> \u{b7} <a href="derpmap.policy">Tailscale policy</a></span>`
  return markup`<section class="card"><h2>Paste this</h2><p class="note">The DERP map for Headscale: save it, and name the file in <code>derp.paths</code>.</p>
<pre id="paste" tabindex="0" role="region" aria-label="DERP map">${text}</pre>
<p class="row"><button id="copy" type="button" hidden>Copy</button><span id="copied" role="status"></span>${links}</p></section>`
}
