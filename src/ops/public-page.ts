// The status page that everybody may see, on the DERP port: the state word, and which regions there are and how they are. No
// numbers, no host names of other relays, no events, no script. No I/O.

import { createHash } from 'node:crypto'
import { markup, Markup } from './markup.ts'
import type { Overview } from './overview.ts'
import { regionClass, stateWord } from './world-map.ts'

const WORDS = {
  serving: 'All is well',
  draining: 'This relay moves its clients away',
  notReady: 'This relay is not ready',
} as const

const STYLE = `
:root{color-scheme:light dark;--bg:#f3f5f8;--ink:#131c26;--soft:#546170;--ok:#0b7a4a;--warn:#8f5600;--bad:#bb271c;--off:#66717e}
@media(prefers-color-scheme:dark){:root{--bg:#0b1016;--ink:#e7edf4;--soft:#9dabba;--ok:#41d195;--warn:#f2b552;--bad:#ff8177;--off:#93a0ae}}
body{margin:0 auto;max-width:40rem;padding:12vh 1.2rem 2rem;background:var(--bg);color:var(--ink);font:1.05rem/1.6 system-ui,sans-serif}
h1{font-size:clamp(1.8rem,6vw,2.8rem);line-height:1.15;letter-spacing:-.02em;margin:0 0 1.5rem}
ul{list-style:none;margin:0;padding:0}li{display:flex;justify-content:space-between;gap:1rem;padding:.45rem 0;border-top:1px solid color-mix(in srgb,var(--off) 35%,transparent)}
.ok{color:var(--ok)}.warn{color:var(--warn)}.bad{color:var(--bad)}.off{color:var(--off)}p{color:var(--soft);font-size:.9rem}
`

export const PUBLIC_HEADERS: readonly (readonly [string, string])[] = [
  ['Content-Type', 'text/html; charset=utf-8'],
  [
    'Content-Security-Policy',
    `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  ],
  ['X-Content-Type-Options', 'nosniff'],
  ['X-Frame-Options', 'DENY'],
  ['Cache-Control', 'no-store'],
]

/** The same text while no state has changed. */
export function publicPage({ state, regions }: Pick<Overview, 'state' | 'regions'>): string {
  const known = regions.filter((region) => region.state !== 'off')
  const isWell = state === 'serving' && known.every((region) => regionClass(region) !== 'bad')
  const word = state === 'serving' && !isWell ? 'Some regions are down' : WORDS[state]
  const items = known.map(
    (region) =>
      markup`<li><span>${region.name === '' ? region.code : region.name}</span><b class="${regionClass(region)}">${wordOf(stateWord(region))}</b></li>`,
  )
  return markup`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${word}</title>
<style>${new Markup(STYLE)}</style></head>
<body><main><h1 class="${isWell ? 'ok' : 'warn'}">${word}</h1>${items.length === 0 ? '' : markup`<ul>${items}</ul>`}
<p>A DERP relay carries encrypted packets between devices that find no direct path, and can read none of them.</p></main></body></html>
`.text
}

/** How many relays a region has is nobody's business. */
function wordOf(word: string): string {
  return word.includes(' of ') ? 'partly up' : word
}
